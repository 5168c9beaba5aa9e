"""Chat requests, read: every member carried by name or meaning, or kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from llmproxy.dialects.chat.request_decode import decode_request
from llmproxy.dialects.chat.tables import LEGACY
from llmproxy.dialects.model import Format, Media, Reasoning, Request, Thinking, Tool, ToolCall, ToolResult
from llmproxy.errors import BadRequest
from tests.support.arbitrary_chat import MEMBERS, MESSAGES
from tests.support.draws import draws


def decoded(**members: Any) -> Request:
    return decode_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members})


def refused(**members: Any) -> str | None:
    with pytest.raises(BadRequest) as caught:
        decoded(**members)
    return caught.value.param


def test_each_knob_is_carried_under_its_name() -> None:
    knobs = {
        "user": "u",
        "safety_identifier": "s",
        "service_tier": "flex",
        "verbosity": "low",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit"},
        "moderation": {"model": "omni-moderation-latest"},
        "metadata": {"a": "b"},
        "store": False,
    }
    request = decoded(**knobs)
    assert (request.knobs, request.extra) == (knobs, {})


def test_each_sampling_knob_is_carried() -> None:
    members: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "seed": 7,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "logit_bias": {"50256": -100},
        "logprobs": True,
        "top_logprobs": 3,
        "stop": ["a", "b"],
    }
    sampling = decoded(**members).sampling
    assert {name: getattr(sampling, name) for name in members} == members
    assert decoded(stop="a").sampling.stop == ["a"]


def test_the_limit_is_known_under_both_names_and_the_newer_counts() -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        request = decoded(**{name: 5})
        assert (request.sampling.max_tokens, request.where("max_tokens"), request.extra) == (5, name, {})
    both = decoded(max_tokens=5, max_completion_tokens=6)
    assert (both.sampling.max_tokens, both.extra) == (6, {"max_tokens": 5})


def test_members_without_a_place_are_kept() -> None:
    extra = {
        "prediction": {"type": "content", "content": "a"},
        "audio": {"voice": "ash", "format": "wav"},
        "made_up": 1,
    }
    assert decoded(**extra).extra == extra


def test_null_says_nothing() -> None:
    names = ["stream", "tools", "stop", "n", "audio", "made_up", "stream_options", "response_format", "tool_choice"]
    names += ["metadata", "reasoning_effort", "max_tokens", "functions", "function_call", "web_search_options"]
    assert decoded(**dict.fromkeys(names)) == decoded()


def test_one_choice_is_nothing_and_several_are_kept() -> None:
    assert decoded(n=1).extra == {}
    assert decoded(n=2).extra == {"n": 2}


def test_usage_is_shown_only_to_who_asked() -> None:
    assert decoded(stream=True).include_usage is False
    request = decoded(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})
    assert (request.stream, request.include_usage) == (True, True)
    assert request.extra == {"stream_options": {"include_obfuscation": False}}


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
def test_the_effort_is_carried(effort: Any) -> None:
    request = decoded(reasoning_effort=effort)
    assert request.reasoning == Reasoning(path="reasoning_effort", effort=effort)
    assert request.where("effort") == "reasoning_effort"


def test_no_effort_is_thinking_switched_off() -> None:
    assert decoded(reasoning_effort="none").reasoning.mode == "off"


def test_formats() -> None:
    assert decoded(response_format={"type": "text"}).format is None
    assert decoded(response_format={"type": "json_object"}).format == Format(path="response_format", kind="json")
    schema = {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": True, "x": 1}
    assert decoded(response_format={"type": "json_schema", "json_schema": schema}).format == Format(
        path="response_format",
        kind="schema",
        name="n",
        description="d",
        schema={"type": "object"},
        strict=True,
        extra={"json_schema": {"x": 1}},
    )


def test_legacy_functions_are_tools_with_one_call_a_turn() -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ]
    request = decoded(messages=messages, functions=[{"name": "f", "parameters": {"type": "object"}}])
    assert request.tools == [Tool(path="functions[0]", name="f", schema={"type": "object"})]
    assert request.parallel_tools is False and LEGACY in request.echo
    call, result = request.messages[1].content[0], request.messages[2].content[0]
    assert isinstance(call, ToolCall) and isinstance(result, ToolResult)
    assert call.id == result.id


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 5]}, "stop[1]"),
        ({"n": "2"}, "n"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"metadata": "a"}, "metadata"),
        ({"store": "no"}, "store"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_by_its_path(members: dict[str, Any], path: str) -> None:
    assert refused(**members) == path


@draws(300)
@given(MESSAGES, MEMBERS)
def test_any_object_is_a_request_or_refused(messages: Any, members: dict[str, Any]) -> None:
    try:
        request = decode_request({"model": "m", "messages": messages, **members})
    except BadRequest as error:
        assert error.message and error.status == 400
    else:
        assert request.dialect == "chat"


def test_deep_nesting_is_only_carried() -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"properties": deep}
    assert decoded(tools=[{"type": "function", "function": {"name": "f", "parameters": deep}}]).tools


def test_words_of_services_have_their_plain_meaning() -> None:
    """Mistral's and Groq's."""
    link: dict[str, Any] = {"type": "document_url", "document_url": "https://a/b.pdf", "document_name": "b"}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    request = decode_request(
        {
            "model": "m",
            "tool_choice": "any",
            "reasoning_effort": "default",
            "messages": [{"role": "user", "content": [link]}, {"role": "assistant", "content": [thought]}],
        }
    )
    assert request.tool_choice is not None and request.tool_choice.mode == "required"
    assert request.reasoning.effort is None and request.reasoning.mode is None
    document, thinking = request.messages[0].content[0], request.messages[1].content[0]
    assert isinstance(document, Media) and (document.url, document.name) == ("https://a/b.pdf", "b")
    assert isinstance(thinking, Thinking) and thinking.text == "hm"


@pytest.mark.parametrize(
    ("members", "mode", "effort", "budget"),
    [
        ({"thinking": {"type": "disabled"}}, "off", None, None),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, "on", "max", None),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "on", None, 5000),
        ({"thinking": {"type": "adaptive"}}, "adaptive", None, None),
        ({"thinking": {"type": "sometimes"}}, None, None, None),
        ({"reasoning_effort": "default"}, None, None, None),
    ],
)
def test_the_switch_of_some_services_has_its_plain_meaning(
    members: dict[str, Any], mode: str | None, effort: str | None, budget: int | None
) -> None:
    request = decode_request({"model": "m", "messages": [], **members})
    reasoning = request.reasoning
    assert (reasoning.mode, reasoning.effort, reasoning.budget_tokens) == (mode, effort, budget)


def test_the_seed_of_mistral_is_a_seed() -> None:
    request = decode_request({"model": "m", "messages": [], "random_seed": 7})
    assert (request.sampling.seed, request.where("seed"), request.extra) == (7, "random_seed", {})
    both = decode_request({"model": "m", "messages": [], "random_seed": 7, "seed": 8})
    assert (both.sampling.seed, both.extra) == (8, {"random_seed": 7})
