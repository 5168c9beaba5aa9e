"""Chat requests, written: in their own dialect as they stood, from others with every loss named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase, CompletionCreateParamsStreaming

from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.chat.request_decode import decode_request
from llmproxy.dialects.chat.request_encode import encode_request
from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.model import Format, Opaque, Reasoning, Request, Sampling, ToolChoice
from llmproxy.errors import BadRequest
from tests.support.arbitrary_chat import MEMBERS, MESSAGES
from tests.support.draws import draws

ASKED = {"include_usage": True}


def encoded(request: Request, **options: Any) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    return encode_request(
        request, EncodeContext(losses=losses, options=Options(**options), own=request.dialect == "chat")
    ), losses.dropped


def other(**members: Any) -> tuple[dict[str, Any], list[str]]:
    """Return what becomes of a request of another dialect, without its model and its messages."""
    body, dropped = encoded(Request(dialect="x", model="m", **members))
    assert (body.pop("model"), body.pop("messages")) == ("m", [])
    return body, dropped


def test_a_request_of_chat_comes_back_as_it_stood() -> None:
    body: dict[str, Any] = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s", "name": "n"},
            {"role": "developer", "content": [{"type": "text", "text": "d", "cache_control": {"type": "ephemeral"}}]},
            {
                "role": "user",
                "name": "Ann",
                "content": [
                    {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low", "x": 1}},
                    {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                    {"type": "hologram", "size": 5},
                ],
            },
            {
                "role": "assistant",
                "content": "b",
                "reasoning": "t",
                "audio": {"id": "a1"},
                "tool_calls": [
                    {"id": "c" * 50, "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
                    {"id": "c3", "type": "robot", "robot": {}},
                ],
            },
            {"role": "tool", "tool_call_id": "c" * 50, "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": "2", "name": "g"},
            {"role": "user", "content": "c"},
            {"role": "system", "content": "late"},
            {"role": "assistant", "content": None, "refusal": "No"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True, "x": 1},
                "cache_control": {"type": "ephemeral"},
            },
            {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}}},
            {"type": "robot", "robot": {}},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [
                    {"type": "function", "function": {"name": "f"}},
                    {"type": "custom", "custom": {"name": "g"}},
                ],
            },
        },
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True, "x": 1}},
        "reasoning_effort": "low",
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "seed": 7,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "logit_bias": {"1": 2},
        "logprobs": True,
        "top_logprobs": 3,
        "stop": ["a"],
        "n": 2,
        "user": "u",
        "safety_identifier": "s",
        "service_tier": "flex",
        "verbosity": "low",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit"},
        "moderation": {"model": "omni"},
        "metadata": {"a": "b"},
        "store": False,
        "modalities": ["text", "audio"],
        "audio": {"voice": "ash", "format": "wav"},
        "prediction": {"type": "content", "content": "a"},
        "web_search_options": {"search_context_size": "low"},
        "cache_control": {"type": "ephemeral"},
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "made_up": 1,
    }
    legacy = {"functions", "function_call", "max_completion_tokens"}
    assert body.keys() >= CompletionCreateParamsStreaming.__annotations__.keys() - legacy
    assert body.keys() >= CompletionCreateParamsBase.__annotations__.keys() - legacy
    assert encoded(decode_request(body)) == (body, [])


def test_a_legacy_request_becomes_one_of_tools() -> None:
    body, _ = encoded(
        decode_request(
            {
                "model": "m",
                "messages": [],
                "functions": [{"name": "f", "parameters": {}}],
                "function_call": {"name": "f"},
            }
        )
    )
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}


def test_a_stream_is_always_asked_for_its_usage() -> None:
    body, _ = encoded(decode_request({"model": "m", "messages": [], "stream": True}))
    assert body["stream_options"] == ASKED


def test_the_limit_has_the_name_that_the_service_knows() -> None:
    request = Request(dialect="x", model="m", sampling=Sampling(max_tokens=5))
    assert encoded(request)[0]["max_completion_tokens"] == 5
    assert encoded(request, max_tokens_name="max_tokens")[0]["max_tokens"] == 5


def test_sampling_knobs_are_carried_and_top_k_is_listed() -> None:
    knobs: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "presence_penalty": 1, "stop": ["a"]}
    assert other(sampling=Sampling(top_k=4, **knobs)) == (knobs, ["top_k"])
    assert other(sampling=Sampling(top_logprobs=2))[0] == {"top_logprobs": 2, "logprobs": True}


@pytest.mark.parametrize(
    ("expected", "effort", "dropped"),
    [
        (Reasoning(), None, []),
        (Reasoning(effort="high"), "high", []),
        (Reasoning(effort="none"), "none", []),
        (Reasoning(mode="off"), "none", []),
        (Reasoning(mode="on", budget_tokens=2000), "low", []),
        (Reasoning(mode="on", effort="high", budget_tokens=2000), "high", ["budget_tokens"]),
        (Reasoning(mode="adaptive", effort="medium"), "medium", []),
        (Reasoning(mode="adaptive", path="thinking"), None, ["thinking"]),
        (Reasoning(effort="low", summary="auto"), "low", ["reasoning.summary"]),
        (Reasoning(effort="low", path="reasoning", extra={"x": 1}), "low", ["reasoning.x"]),
    ],
    ids=str,
)
def test_efforts_and_budgets(expected: Reasoning, effort: str | None, dropped: list[str]) -> None:
    body, lost = other(reasoning=expected, paths={"summary": "reasoning.summary"})
    assert (body.get("reasoning_effort"), lost) == (effort, dropped)


def test_formats_get_the_name_that_is_demanded() -> None:
    schema = {"type": "object"}
    body, _ = other(format=Format(kind="schema", schema=schema, description="d"))
    expected = {"name": "response", "description": "d", "schema": schema}
    assert body == {"response_format": {"type": "json_schema", "json_schema": expected}}
    assert other(format=Format(kind="json"))[0] == {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize(("tier", "sent"), [("auto", "auto"), ("standard_only", "default"), ("batch", None), (5, None)])
def test_service_tiers(tier: Any, sent: str | None) -> None:
    body, dropped = other(knobs={"service_tier": tier})
    assert (body.get("service_tier"), dropped) == (sent, [] if sent else ["service_tier"])


def test_knobs_are_carried_or_listed() -> None:
    body, dropped = other(knobs={"user": "u", "store": False, "metadata": {"a": "b"}, "strange": 1})
    assert (body, dropped) == ({"user": "u", "metadata": {"a": "b"}}, ["strange"])
    assert other(knobs={"store": True})[0] == {"store": True}


def test_a_user_whose_name_is_too_long_is_told_as_a_digest() -> None:
    users = [other(knobs={"user": name})[0]["user"] for name in ("u" * 64, "u" * 130, "u" * 131)]
    assert users[0] == "u" * 64 and [len(user) for user in users] == [64, 64, 64] and len({*users}) == 3


def test_of_the_options_of_prompt_caching_those_are_carried_that_chat_knows() -> None:
    body, dropped = other(knobs={"prompt_cache_options": {"mode": "explicit", "ttl": "12h", "prewarm": True}})
    assert body == {"prompt_cache_options": {"mode": "explicit"}}
    assert dropped == ["prompt_cache_options.ttl", "prompt_cache_options.prewarm"]
    assert other(knobs={"prompt_cache_options": {"ttl": "12h"}})[0] == {}


def test_what_only_the_other_dialect_knows_is_listed() -> None:
    members: dict[str, Any] = {"extra": {"container": "c"}, "cache": {"type": "ephemeral"}, "parallel_tools": False}
    paths = {"parallel_tools": "tool_choice.disable_parallel_tool_use"}
    body, dropped = other(paths=paths, **members)
    assert body == {}
    assert dropped == ["tool_choice.disable_parallel_tool_use", "cache_control", "container"]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"extra": {"n": 2}}, "n"),
        ({"extra": {"modalities": ["audio"]}}, "modalities"),
        ({"tools": [Opaque(path="tools[0]", dialect="x", kind="bash_20250124", value={})]}, "tools[0]"),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_refused(members: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        other(**members)
    assert caught.value.param == path


def test_strict_refuses_the_first_loss() -> None:
    request = Request(dialect="x", model="m", sampling=Sampling(top_k=4), tool_choice=ToolChoice(mode="auto"))
    with pytest.raises(BadRequest) as caught:
        encode_request(request, EncodeContext(losses=Losses(strict=True)))
    assert caught.value.param == "top_k"


@draws(200)
@given(MESSAGES, MEMBERS, st.sampled_from(["chat", "x"]))
def test_whatever_can_be_read_can_be_written_or_is_refused(
    messages: Any, members: dict[str, Any], dialect: str
) -> None:
    try:
        request = decode_request({"model": "m", "messages": messages, **members})
    except BadRequest:
        return
    request.dialect = dialect
    try:
        body, _ = encoded(request)
    except BadRequest as error:
        assert error.param
    else:
        assert decode_request(body).model == "m"


KNOBS = {"user": "u", "verbosity": "low", "prompt_cache_key": "k", "metadata": {"a": "b"}, "store": True}


def test_members_of_openai_alone_are_listed_for_services_that_refuse_them() -> None:
    body, dropped = other(knobs=KNOBS)
    assert (body, dropped) == (KNOBS, [])
    body, dropped = encoded(Request(dialect="x", model="m", knobs=KNOBS), chat_knobs=frozenset({"user"}))
    assert body == {"model": "m", "messages": [], "user": "u"}
    assert dropped == ["verbosity", "prompt_cache_key", "metadata", "store"]


def test_not_to_store_is_no_loss_where_nothing_is_stored() -> None:
    _, dropped = encoded(Request(dialect="x", model="m", knobs={"store": False}), chat_knobs=frozenset())
    assert dropped == []


def test_members_of_a_chat_client_go_to_every_service_as_they_stood() -> None:
    body = {"model": "m", "messages": [], **KNOBS}
    assert encoded(decode_request(body), chat_knobs=frozenset()) == (body, [])


@pytest.mark.parametrize(
    "members",
    [
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "enabled", "budget_tokens": 5000, "clear_thinking": False}},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
        {"random_seed": 7},
    ],
)
def test_words_of_services_come_back_as_they_stood(members: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [], **members}
    assert encoded(decode_request(body)) == (body, [])


def test_a_switch_is_carried_to_services_that_have_it_alone() -> None:
    off = Reasoning(mode="off")
    assert other(reasoning=off) == ({"reasoning_effort": "none"}, [])
    body, dropped = encoded(Request(dialect="x", model="m", reasoning=off), thinking_switch=True)
    assert (body["thinking"], "reasoning_effort" in body, dropped) == ({"type": "disabled"}, False, [])


def test_services_without_a_choice_among_some_tools_get_those_alone() -> None:
    tools = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in "fgh"]
    named = [{"type": "function", "name": "f"}, {"type": "function", "name": "h"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": named}
    decode = codecs()["responses"].decode_request
    request = decode({"model": "m", "input": "u", "tools": tools, "tool_choice": choice})
    body = encode_request(request, EncodeContext(losses=Losses()))
    assert ([tool["function"]["name"] for tool in body["tools"]], body["tool_choice"]) == (["f", "h"], "required")
    whole = encode_request(request, EncodeContext(losses=Losses(), options=Options(custom_tools=True)))
    assert len(whole["tools"]) == 3 and whole["tool_choice"]["type"] == "allowed_tools"
    choice["tools"] = [{"type": "function", "name": "gone"}]
    request = decode({"model": "m", "input": "u", "tools": tools, "tool_choice": choice, "parallel_tool_calls": True})
    none = encode_request(request, EncodeContext(losses=Losses()))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & none.keys()
