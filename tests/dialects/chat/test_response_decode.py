"""Whole chat completions, read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.chat.response_decode import decode_response
from llmproxy.dialects.model import Citation, Opaque, Refusal, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.usage import Usage


def answered(finish_reason: Any = "stop", logprobs: Any = None, **message: Any) -> Reply:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": logprobs}
    return whole(choices=[choice])


def whole(**members: Any) -> Reply:
    return decode_response(json.dumps({"id": "chatcmpl-1", "created": 7, "model": "m", **members}).encode())


def test_a_plain_answer() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a", "refusal": None}, "finish_reason": "stop"}
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert whole(choices=[choice], usage=usage, service_tier="default", system_fingerprint="fp") == Reply(
        path="reply",
        id="chatcmpl-1",
        dialect="chat",
        model="m",
        content=[Text(text="a")],
        stop="end",
        stop_word="stop",
        usage=Usage(input=9, output=4, cache_read=5, cache_write=1, reasoning=2),
        created_s=7,
        service_tier="default",
    )


def test_calls_of_every_kind() -> None:
    calls: list[dict[str, Any]] = [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
        {"id": "c3", "type": "robot", "robot": {}},
    ]
    reply = answered("tool_calls", content=None, tool_calls=calls)
    assert reply.content == [
        ToolCall(path="reply.tool_call", id="c1", name="f", arguments='{"a":1}'),
        ToolCall(path="reply.tool_call", id="c2", name="g", arguments="x", custom=True),
        Opaque(path="reply.tool_calls", dialect="chat", kind="robot", value=calls[2]),
    ]
    assert reply.stop == "tool_calls"


def test_a_call_that_says_nothing_of_its_arguments_has_an_empty_object() -> None:
    calls = [{"id": "c1", "function": {"name": "f", "arguments": ""}}, {"id": "c2", "function": {"name": "f"}}]
    actual = [block.arguments for block in answered(tool_calls=calls).content if isinstance(block, ToolCall)]
    assert actual == ["{}", "{}"]


def test_calls_without_ids_or_with_the_same_get_ids_of_their_own() -> None:
    calls = [{"id": each, "function": {"name": "f", "arguments": {}}} for each in ("c1", "c1", "", None)]
    ids = [block.id for block in answered(tool_calls=calls).content if isinstance(block, ToolCall)]
    assert ids[0] == "c1" and len(set(ids)) == 4


def test_a_legacy_call_is_a_call() -> None:
    reply = answered("function_call", content=None, function_call={"name": "f", "arguments": "{}"})
    (call,) = reply.content
    assert isinstance(call, ToolCall) and (call.name, reply.stop) == ("f", "tool_calls")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thinking_comes_first(name: str) -> None:
    assert answered(content="a", **{name: "t"}).content == [
        Thinking(path=f"reply.{name}", text="t", dialect="chat", field=name),
        Text(text="a"),
    ]


def test_content_as_parts() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
        {"type": "text", "text": "a"},
        {"type": "reference", "reference_ids": [1]},
    ]
    assert answered(content=parts).content == [
        Thinking(text="t", dialect="chat"),
        Text(text="a"),
        Opaque(path="reply.reference", dialect="chat", kind="reference", value=parts[2]),
    ]


def test_a_refusal_stops_as_one() -> None:
    reply = answered(content=None, refusal="No")
    assert (reply.content, reply.stop) == ([Refusal(path="reply.refusal", text="No")], "refusal")


def test_citations_and_probabilities_belong_to_the_text() -> None:
    likely = [{"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}]
    link = {"url": "https://x", "title": "X", "start_index": 0, "end_index": 1}
    annotations = [{"type": "url_citation", "url_citation": link}, {"type": "other", "x": 1}]
    (text,) = answered(content="a", annotations=annotations, logprobs={"content": likely, "refusal": None}).content
    assert isinstance(text, Text)
    assert text.logprobs == likely
    assert text.annotations == [
        Citation(path="reply.annotations", url="https://x", title="X", start=0, end=1),
        Citation(path="reply.annotations", extra={"other": annotations[1]}),
    ]


def test_sound_is_kept_for_its_own_dialect() -> None:
    audio = {"id": "a1", "data": "AA==", "expires_at": 9, "transcript": "t"}
    assert answered(content=None, audio=audio).content == [
        Opaque(path="reply.audio", dialect="chat", kind="audio", value=audio)
    ]


def test_further_choices_and_unknown_members_are_kept() -> None:
    choices = [{"index": n, "message": {"content": str(n), "mood": "good"}, "finish_reason": "stop"} for n in range(2)]
    reply = whole(choices=choices, moderation={"input": {}}, nothing=None)
    assert reply.content == [Text(text="0")]
    assert reply.extra == {"moderation": {"input": {}}, "choices[1]": choices[1], "message.mood": "good"}


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("stop", "end"), ("length", "length"), ("content_filter", "content_filter"), (None, "end"), (5, "end")],
)
def test_finish_reasons(reason: Any, stop: str) -> None:
    assert answered(reason, content="a").stop == stop


def test_stop_with_calls_is_a_stop_for_calls() -> None:
    call = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    assert answered("stop", tool_calls=[call]).stop == "tool_calls"
    assert answered("length", tool_calls=[call]).stop == "length"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b"{}", b'{"choices":[]}', b'{"choices":[5]}', b'{"choices":[{"text":"a"}]}']
)
def test_what_is_no_chat_completion_is_a_bad_reply(body: bytes) -> None:
    with pytest.raises(BadReply, match="not a chat completion"):
        decode_response(body)


def test_an_error_with_a_good_status_is_a_bad_reply_that_says_it() -> None:
    with pytest.raises(BadReply, match="Slow down") as raised:
        decode_response(b'{"error":{"message":"Slow down","code":429}}')
    assert raised.value.status == 429
    with pytest.raises(BadReply, match="Cut off"):
        decode_response(
            b'{"choices":[{"message":{"content":"a"},"finish_reason":"error","error":{"message":"Cut off"}}]}'
        )


_VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "function", "name", "id", "thinking", "content"]), inner)
    ),
    max_leaves=8,
)
_MEMBERS = st.sampled_from(["content", "refusal", "tool_calls", "function_call", "annotations", "audio", "reasoning"])


@given(st.dictionaries(_MEMBERS, _VALUES), _VALUES)
def test_a_wrong_type_costs_one_member(message: dict[str, Any], other: Any) -> None:
    reply = whole(
        choices=[{"message": message, "logprobs": other, "finish_reason": "stop"}], usage=other, created=other
    )
    assert reply.model == "m"


@pytest.mark.parametrize("reason", ["tool_calls", "function_call"])
def test_a_turn_without_calls_ends_whatever_its_finish_reason_says(reason: str) -> None:
    choice = {"message": {"role": "assistant", "content": "x"}, "finish_reason": reason}
    assert decode_response(json.dumps({"id": "r", "choices": [choice]}).encode()).stop == "end"


@pytest.mark.parametrize("kind", [{"type": "function"}, {}])
def test_an_empty_custom_call_beside_a_function_is_none(kind: dict[str, str]) -> None:
    call = {"id": "c1", **kind, "function": {"name": "f", "arguments": "{}"}, "custom": {"name": "", "input": ""}}
    choice = {"message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    [block] = decode_response(json.dumps({"id": "r", "choices": [choice]}).encode()).content
    assert isinstance(block, ToolCall) and (block.name, block.custom) == ("f", False)
