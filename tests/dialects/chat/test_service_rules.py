"""What chat services refuse is never sent to them, and each service's row says what that is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.chat.service_rules import fit_chat_request, refused_members
from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.providers.compatible import Compatible
from llmproxy.translation.translation import Translation

TURN = [{"role": "user", "content": "x"}]
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
TOOL = {"type": "function", **FUNCTION}


def options_of(service: str) -> Options:
    return Compatible.Config.services[service].options


def sent(service: str, model: str, client: str, **members: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the chat request for a service of a client of another dialect, and what was listed."""
    codec = codecs()[client]
    request = codec.decode_request({"model": "m", **members})
    translation = Translation(request, codec, codecs()["chat"], options=options_of(service), strict=False)
    return msgspec.json.decode(translation.request(model)), translation.losses.dropped


@pytest.mark.parametrize(
    ("service", "model", "reasoning", "expected", "listed"),
    [
        ("deepseek", "deepseek-flash", {"effort": "none"}, {"thinking": {"type": "disabled"}}, []),
        ("deepseek", "deepseek-flash", {"effort": "low"}, {"reasoning_effort": "low"}, []),
        ("deepseek", "deepseek-flash", {"effort": "medium"}, {"reasoning_effort": "high"}, ["reasoning.effort"]),
        ("groq", "qwen/qwen3-32b", {"effort": "none"}, {"reasoning_effort": "none"}, []),
        ("groq", "qwen/qwen3.8-27b", {"effort": "medium"}, {"reasoning_effort": "medium"}, []),
        ("xai", "grok-4-0709", {"effort": "low"}, {}, ["reasoning.effort"]),
        ("xai", "grok-4.3", {"effort": "none"}, {"reasoning_effort": "none"}, []),
        ("xai", "grok-4.5", {"effort": "none"}, {"reasoning_effort": "low"}, ["reasoning.effort"]),
        ("xai", "grok-4.6", {"effort": "max"}, {"reasoning_effort": "xhigh"}, ["reasoning.effort"]),
    ],
)
def test_thinking_is_asked_for_as_the_service_has_it(
    service: str, model: str, reasoning: dict[str, str], expected: dict[str, Any], listed: list[str]
) -> None:
    body, dropped = sent(service, model, "responses", input="x", reasoning=reasoning)
    assert {name: body[name] for name in ("thinking", "reasoning_effort") if name in body} == expected
    assert dropped == listed


def test_a_forced_tool_turns_thinking_off_where_both_exclude_each_other() -> None:
    asked = {"input": "x", "tools": [TOOL], "tool_choice": "required"}
    body, dropped = sent("deepseek", "deepseek-flash", "responses", **asked)
    assert (body["tool_choice"], body["thinking"], dropped) == ("required", {"type": "disabled"}, [])
    body, dropped = sent("deepseek", "deepseek-flash", "responses", **asked, reasoning={"effort": "high"})
    assert (body["thinking"], "reasoning_effort" in body, dropped) == (
        {"type": "disabled"},
        False,
        ["reasoning.effort"],
    )
    body, _ = sent("deepseek", "deepseek-flash", "responses", **asked | {"tool_choice": "auto"})
    assert "thinking" not in body


def test_json_of_a_schema_is_a_tool_where_the_service_has_none() -> None:
    form = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}
    body, _ = sent("deepseek", "deepseek-flash", "responses", input="x", text=form)
    assert "response_format" not in body and body["tool_choice"]["function"]["name"] == "structured_answer"
    assert body["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("service", "tier", "expected"),
    [("groq", "standard_only", "on_demand"), ("groq", "auto", "auto"), ("mistral", "standard_only", "standard_only")],
)
def test_a_tier_has_the_name_of_the_service(service: str, tier: str, expected: str) -> None:
    body, _ = sent(service, "m", "messages", max_tokens=5, messages=TURN, service_tier=tier)
    assert body["service_tier"] == expected


def test_a_stream_asks_for_its_usage_where_that_is_known() -> None:
    assert "stream_options" not in sent("mistral", "m", "responses", input="x", stream=True)[0]
    assert "stream_options" in sent("groq", "m", "responses", input="x", stream=True)[0]


SAMPLING = {
    **{"logprobs": True, "top_logprobs": 2, "logit_bias": {"1": 1}, "presence_penalty": 1.0, "stop": ["a"]},
    "seed": 7,
}


@pytest.mark.parametrize(
    ("service", "model", "kept"),
    [
        ("groq", "llama-3.3-70b-versatile", {"stop", "seed"}),
        ("mistral", "mistral-small", {"logprobs", "top_logprobs", "presence_penalty", "stop", "random_seed"}),
        ("xai", "grok-4.6", {"logprobs", "top_logprobs", "logit_bias", "seed"}),
        ("xai", "grok-4-fast-non-reasoning", {"logprobs", "top_logprobs", "logit_bias", "seed", "stop"}),
        ("openai-compatible", "m", set(SAMPLING)),
    ],
)
def test_a_service_gets_the_knobs_that_it_has(service: str, model: str, kept: set[str]) -> None:
    chat = codecs()["chat"]
    messages = [{"role": "user", "content": "x", "name": "Ann"}]
    request = chat.decode_request({"model": model, "messages": messages, **SAMPLING})
    request.dialect = "another"  # of which all that is sampled has a meaning in chat
    losses = Losses()
    body = chat.encode_request(request, EncodeContext(losses=losses, options=options_of(service)))
    sampled = {*SAMPLING, "random_seed"} & body.keys()
    assert sampled == kept
    assert set(losses.dropped) - {"messages[0].name"} == {*SAMPLING} - kept - (
        {"seed"} if "random_seed" in kept else set()
    )
    assert ("name" in body["messages"][0]) is (service in ("xai", "openai-compatible"))


def test_the_first_pattern_that_fits_a_model_decides() -> None:
    rows = (("b", frozenset({"x"})), ("", frozenset({"y"})))
    assert refused_members("AB", rows) == {"x"}
    assert refused_members("c", rows) == {"y"}
    assert refused_members("c", rows[:1]) == frozenset()


@pytest.mark.parametrize(
    ("service", "members", "refused"),
    [
        ("mistral", {"seed": 1, "store": True, "stream": True, "stream_options": {"include_usage": True}}, 3),
        ("mistral", {"random_seed": 1, "metadata": {}, "stream": True}, 0),
        ("deepseek", {"reasoning_effort": "none"}, 1),
        ("deepseek", {"thinking": {"type": "disabled"}}, 0),
        ("deepseek", {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"}, 1),
        ("deepseek", {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}}, 1),
        ("vllm", {"store": True, "seed": 1}, 0),
    ],
)
def test_of_a_relayed_request_all_that_the_service_refuses_is_listed(
    service: str, members: dict[str, Any], refused: int
) -> None:
    request = codecs()["chat"].decode_request({"model": "m", "messages": TURN, **members})
    losses = Losses()
    fit_chat_request(request, EncodeContext(losses=losses, options=options_of(service), own=True))
    assert len(losses.dropped) == len(losses.adapted) == refused, losses.dropped
