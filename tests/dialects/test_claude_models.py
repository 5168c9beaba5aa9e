"""How models are asked to think, and which other knobs they take then."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.claude_models import ClaudeModel, claude_of, encode_sampling, plan_thinking
from llmproxy.dialects.efforts import budget_of
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import Reasoning, Request, Sampling, ToolChoice

OLD, NEW, NEVER = "claude-sonnet-4-5", "claude-opus-5", "claude-3-5-haiku-latest"


def ask(model: str, reasoning: Reasoning, **members: Any) -> Request:
    paths = {"effort": "reasoning_effort", "mode": "reasoning_effort"}
    return Request(dialect="chat", model=model, reasoning=reasoning, paths=paths, **members)


def planned(request: Request) -> tuple[dict[str, Any] | None, str | None, int, list[str]]:
    losses = Losses()
    found = plan_thinking(request, EncodeContext(losses=losses))
    return found.thinking, found.effort, found.max_tokens, losses.dropped


@pytest.mark.parametrize(
    ("name", "thinks", "samples"),
    [
        ("claude-3-haiku-20240307", "never", "all"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "never", "all"),
        ("claude-3-7-sonnet-latest", "budget", "all"),
        ("anthropic/claude-3.7-sonnet", "budget", "all"),
        ("claude-sonnet-4-20250514", "budget", "all"),
        ("claude-sonnet-4@20250514", "budget", "all"),
        ("claude-opus-4-0", "budget", "all"),
        ("claude-opus-4-1-20250805", "budget", "one"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "budget", "one"),
        ("claude-haiku-4-5", "budget", "one"),
        ("claude-opus-4-5-20251101", "budget", "one"),
        ("claude-sonnet-4-5-thinking", "budget", "one"),
        ("claude-sonnet-4-5[1m]", "budget", "one"),
        ("claude-sonnet-4-1m", "budget", "all"),
        ("anthropic/claude-sonnet-4.5:beta", "budget", "one"),
        ("anthropic/claude-sonnet-4:thinking", "budget", "all"),
        ("claude-opus-4-6", "adaptive", "one"),
        ("claude-opus-4-8", "adaptive", "none"),
        ("claude-sonnet-5-5", "adaptive", "none"),
        ("claude-mythos-preview", "adaptive", "none"),
        ("claude-next", "adaptive", "all"),
        ("kimi-k2", "adaptive", "all"),
    ],
)
def test_models_are_known_by_their_names(name: str, thinks: str, samples: str) -> None:
    assert claude_of(name)[:2] == (thinks, samples)


def test_older_models_are_short_of_breath() -> None:
    assert [claude_of(name).max_tokens for name in ("claude-3-opus", NEVER, "claude-opus-4-1")] == [4096, 8192, 32000]
    assert planned(ask("claude-3-opus", Reasoning()))[2] == 4096
    assert claude_of("claude-opus-4") == ClaudeModel("budget", "all", 32000, strict=False, efforts=())


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
def test_an_effort_is_a_budget_for_older_models_and_an_effort_for_newer_ones(effort: Any) -> None:
    thinking, actual, limit, dropped = planned(ask(OLD, Reasoning(effort=effort)))
    assert thinking == {"type": "enabled", "budget_tokens": budget_of(effort)} and actual is None and not dropped
    assert limit > budget_of(effort)
    assert planned(ask(NEW, Reasoning(effort=effort))) == (
        {"type": "adaptive"},
        "low" if effort == "minimal" else effort,
        32000,
        [],
    )


def test_a_budget_is_one_or_the_effort_that_stands_for_it() -> None:
    expected = Reasoning(mode="on", budget_tokens=3000)
    assert planned(ask(OLD, expected))[0] == {"type": "enabled", "budget_tokens": 3000}
    assert planned(ask(NEW, expected))[:2] == ({"type": "adaptive"}, "medium")


@pytest.mark.parametrize(("limit", "budget"), [(20000, 16384), (16384, 8192), (3000, 1500), (1500, 1024)])
def test_the_limit_of_the_client_stays_above_the_budget(limit: int, budget: int) -> None:
    request = ask(OLD, Reasoning(effort="high"), sampling=Sampling(max_tokens=limit))
    assert planned(request) == ({"type": "enabled", "budget_tokens": budget}, None, limit, [])


def test_a_limit_without_room_for_a_budget_leaves_no_thinking() -> None:
    request = ask(OLD, Reasoning(effort="high"), sampling=Sampling(max_tokens=1024))
    assert planned(request) == ({"type": "disabled"}, None, 1024, ["reasoning_effort"])


@pytest.mark.parametrize("effort", ["xhigh", "max"])
def test_our_own_limit_stays_within_the_models(effort: Any) -> None:
    thinking, _, limit, _ = planned(ask("claude-opus-4-1", Reasoning(effort=effort)))
    assert thinking is not None and thinking["budget_tokens"] < limit <= 32000


@pytest.mark.parametrize("expected", [Reasoning(mode="off"), Reasoning(effort="none")])
def test_no_thinking_is_said(expected: Reasoning) -> None:
    assert planned(ask(NEW, expected)) == ({"type": "disabled"}, None, 32000, [])
    assert planned(ask(NEVER, expected)) == (None, None, 8192, [])


def test_a_model_that_never_thinks_lists_what_was_wanted() -> None:
    assert planned(ask(NEVER, Reasoning(effort="low"))) == (None, None, 8192, ["reasoning_effort"])


@pytest.mark.parametrize("mode", ["required", "tool"])
@pytest.mark.parametrize("model", [OLD, NEW])
def test_a_forced_tool_leaves_no_thinking(model: str, mode: Any) -> None:
    request = ask(model, Reasoning(effort="low"), tool_choice=ToolChoice(mode=mode, name="f"))
    assert planned(request) == ({"type": "disabled"}, None, 32000, ["reasoning_effort"])


@pytest.mark.parametrize(("summary", "display"), [("auto", "summarized"), ("detailed", "summarized"), ("omitted",) * 2])
def test_how_thinking_is_shown(summary: str, display: str) -> None:
    thinking = planned(ask(NEW, Reasoning(effort="low", summary=summary)))[0]
    assert thinking == {"type": "adaptive", "display": display}
    assert planned(ask(NEW, Reasoning(summary=summary))) == (None, None, 32000, ["summary"])


@pytest.mark.parametrize(
    ("model", "thinks", "taken"),
    [
        ("claude-3-5-haiku", False, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}),
        (OLD, False, {"temperature": 0.5, "top_k": 5}),
        (OLD, True, {}),
        (NEW, False, {}),
        ("kimi-k2", False, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}),
    ],
)
def test_knobs_that_a_model_does_not_take_are_listed(model: str, thinks: bool, taken: dict[str, float]) -> None:
    losses = Losses()
    request = ask(model, Reasoning(), sampling=Sampling(temperature=0.5, top_p=0.9, top_k=5))
    assert encode_sampling(request, EncodeContext(losses=losses), thinks=thinks) == taken
    assert {*losses.dropped} == {"temperature", "top_p", "top_k"} - taken.keys()


def test_values_that_go_with_thinking_are_kept() -> None:
    losses = Losses(strict=True)
    request = ask("claude-3-7-sonnet", Reasoning(), sampling=Sampling(temperature=1, top_p=0.95))
    assert encode_sampling(request, EncodeContext(losses=losses), thinks=True) == {"temperature": 1, "top_p": 0.95}
    hot = ask("claude-3-7-sonnet", Reasoning(), sampling=Sampling(temperature=1.5))
    assert encode_sampling(hot, EncodeContext(losses=Losses()), thinks=False) == {}
