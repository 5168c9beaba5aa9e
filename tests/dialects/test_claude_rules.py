"""What Claude's models refuse is changed before it is sent, and listed."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat import CODEC as CHAT
from llmproxy.dialects.claude_rules import CONTINUATION, fit_claude_request
from llmproxy.dialects.encode_context import Adaptation, EncodeContext, Losses, Options
from llmproxy.dialects.messages.request_encode import encode_request
from llmproxy.dialects.model import Request
from llmproxy.dialects.responses import CODEC as RESPONSES
from llmproxy.errors import Untranslatable

ALWAYS = ["claude-opus-5-5", "claude-fable-5", "claude-fable-5-1", "claude-fable-5-2", "claude-mythos-5-1"]
FREE = ["claude-opus-4-8", "claude-sonnet-5", "claude-haiku-5-5", "claude-opus-5"]
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("f", "g")]


def chat(model: str, **members: Any) -> Request:
    return CHAT.decode_request({"model": model, "messages": [{"role": "user", "content": "go"}], **members})


def sent(request: Request, **options: Any) -> tuple[dict[str, Any], dict[str, Adaptation], list[str]]:
    losses = Losses()
    body = encode_request(request, EncodeContext(losses=losses, options=Options(**options)))
    return body, losses.adapted, losses.dropped


@pytest.mark.parametrize("model", ALWAYS)
def test_a_model_that_always_thinks_is_not_asked_to_stop(model: str) -> None:
    body, adapted, dropped = sent(chat(model, reasoning_effort="none"))
    assert "thinking" not in body and "output_config" not in body and dropped == ["reasoning_effort"]
    assert adapted["reasoning_effort"] == (f"{model} always thinks", "")


def test_the_least_of_sonnet_5_5_is_between_tools() -> None:
    body, adapted, _ = sent(chat("claude-sonnet-5-5", reasoning_effort="none"))
    assert body["thinking"] == {"type": "between_tools"} and adapted["reasoning_effort"].sent == "between_tools"


@pytest.mark.parametrize("model", FREE)
def test_others_are_asked_to_stop(model: str) -> None:
    body, _, dropped = sent(chat(model, reasoning_effort="none"))
    assert body["thinking"] == {"type": "disabled"} and not dropped


@pytest.mark.parametrize(
    ("model", "asked", "sent_effort"),
    [
        ("claude-opus-4-6", "xhigh", "max"),
        ("claude-sonnet-4-6", "max", "max"),
        ("claude-opus-4-7", "xhigh", "xhigh"),
        ("claude-sonnet-5-5", "xhigh", "high"),
        ("claude-sonnet-5-5", "max", "high"),
        ("claude-opus-5-5", "max", "max"),
        ("claude-opus-5", "minimal", "low"),
    ],
)
def test_an_effort_that_a_model_lacks_becomes_the_nearest(model: str, asked: str, sent_effort: str) -> None:
    body, adapted, dropped = sent(chat(model, reasoning_effort=asked))
    assert body["output_config"] == {"effort": sent_effort}
    expected = [] if asked == sent_effort else ["reasoning_effort"]
    assert dropped == expected and [each.sent for each in adapted.values()] == [sent_effort] * len(expected)


@pytest.mark.parametrize("model", [*ALWAYS, "claude-sonnet-5-5", "claude-opus-6"])
def test_no_tool_is_forced_where_that_is_refused(model: str) -> None:
    body, adapted, _ = sent(chat(model, tools=TOOLS, tool_choice="required", reasoning_effort="high"))
    assert body["tool_choice"] == {"type": "auto"} and [tool["name"] for tool in body["tools"]] == ["f", "g"]
    assert body["thinking"]["type"] == "adaptive" and adapted["tool_choice"].sent == "auto"
    named = {"type": "function", "function": {"name": "g"}}
    body = sent(chat(model, tools=TOOLS, tool_choice=named))[0]
    assert body["tool_choice"] == {"type": "auto"} and [tool["name"] for tool in body["tools"]] == ["g"]


@pytest.mark.parametrize("model", FREE)
def test_a_tool_is_forced_where_that_is_accepted(model: str) -> None:
    assert sent(chat(model, tools=TOOLS, tool_choice="required"))[0]["tool_choice"] == {"type": "any"}


LAST = [{"role": "user", "content": "count"}, {"role": "assistant", "content": "one two"}]


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-5", *ALWAYS])
def test_an_answer_that_was_cut_off_is_continued_and_one_that_was_begun_is_refused(model: str) -> None:
    body, adapted, dropped = sent(RESPONSES.decode_request({"model": model, "input": LAST}))
    assert body["messages"][-1] == {"role": "user", "content": CONTINUATION} and dropped == ["input[1]"] == [*adapted]
    with pytest.raises(Untranslatable, match="last message of the assistant") as refused:
        sent(chat(model, messages=LAST))
    assert refused.value.param == "messages[1]"


def test_what_happens_to_it_can_be_configured() -> None:
    request = chat("claude-opus-5", messages=LAST)
    assert sent(request, prefill="continue")[0]["messages"][-1]["content"] == CONTINUATION
    with pytest.raises(Untranslatable):
        sent(RESPONSES.decode_request({"model": "claude-opus-5", "input": LAST}), prefill="refuse")


def test_older_models_begin_with_it() -> None:
    assert sent(chat("claude-sonnet-4-5", messages=LAST))[0]["messages"] == LAST


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning_effort": "none"},
        {"tools": TOOLS, "tool_choice": "required"},
    ],
)
def test_strict_refuses_every_change(members: dict[str, Any]) -> None:
    with pytest.raises(Untranslatable, match="strict"):
        fit_claude_request(chat("claude-opus-5-5", **members), EncodeContext(losses=Losses(strict=True)))


def test_a_request_that_fits_is_the_same() -> None:
    request = chat("claude-opus-5-5", tools=TOOLS, tool_choice="auto", reasoning_effort="high")
    assert fit_claude_request(request, EncodeContext(losses=Losses(strict=True))) is request


def test_a_request_of_instructions_alone_ends_on_a_question() -> None:
    instructions = [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Say hello."}]
    request = CHAT.decode_request({"model": "claude-opus-5", "messages": instructions})
    body, adapted, dropped = sent(request)
    assert (body["system"], body["messages"]) == ("Be brief.", [{"role": "user", "content": "Say hello."}])
    assert dropped == ["messages[1]"] and adapted["messages[1]"].sent == "user"
    with pytest.raises(Untranslatable):
        encode_request(request, EncodeContext(losses=Losses(strict=True)))
