"""Whole messages, read into the neutral vocabulary."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.messages.response_decode import decode_any_response, decode_response
from llmproxy.dialects.model import Citation, Opaque, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.usage import Usage, UsageDetails
from tests.support import vendors

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hi", "citations": None}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


def read(**members: Any) -> Reply:
    return decode_response(json.dumps({**MESSAGE, **members}).encode())


def test_a_vendors_reply_is_understood() -> None:
    reply = decode_response(json.dumps(vendors.message("m")).encode())
    assert [block.text for block in reply.content if isinstance(block, Text)] == [vendors.TEXT]
    assert reply.usage == Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, cache_write=16)


def test_a_plain_reply() -> None:
    assert read() == Reply(
        path="reply",
        id="msg_1",
        model="claude",
        dialect="messages",
        content=[Text(path="reply.content[0]", text="Hi")],
        stop="end",
        stop_word="end_turn",
        usage=Usage(input=3, output=4),
    )


@given(
    changes=st.dictionaries(
        st.sampled_from([*MESSAGE, "stop_details", "container", "error", "x"]),
        st.sampled_from(
            (
                *("", "tool_use", "stop_sequence", "assistant", None, 1, True, [], {}, [None]),
                *({"input_tokens": 1, "service_tier": "priority", "cache_read_input_tokens": 2}, {"input_tokens": "1"}),
                *({"server_tool_use": {"web_search_requests": 1}}, {"server_tool_use": None, "speed": "fast"}),
                *([{"type": "text", "text": ""}], [{"type": "text", "text": "a", "x": 1}], [{"type": "text"}]),
                *([{"text": "a"}], [{"type": "text", "text": "a", "citations": []}], [{"type": "tool_use", "id": "1"}]),
            )
        ),
        max_size=2,
    )
)
def test_what_is_read_in_one_step_is_what_is_read_member_by_member(changes: dict[str, Any]) -> None:
    raw = json.dumps({**MESSAGE, **changes}).encode()
    try:
        slowly: object = decode_any_response(raw)
    except BadReply as error:
        slowly = error.message
    try:
        assert decode_response(raw) == slowly
    except BadReply as error:
        assert error.message == slowly


def test_blocks_of_every_kind() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    cited = {"type": "web_search_result_location", "url": "u", "title": None, "cited_text": "c", "encrypted_index": "e"}
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s="},
        {"type": "redacted_thinking", "data": "d="},
        search,
        {"type": "text", "text": "a", "citations": [cited]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "t2", "name": "f", "caller": {"type": "code_execution_20260120", "tool_id": "s"}},
    ]
    inner = {"type": "web_search_result_location", "encrypted_index": "e"}
    assert read(content=content, stop_reason="tool_use").content == [
        Thinking(path="reply.content[0]", text="hm", dialect="messages", signature="s="),
        Thinking(path="reply.content[1]", text="", dialect="messages", encrypted="d=", redacted=True),
        Opaque(path="reply.content[2]", dialect="messages", kind="server_tool_use", value=search),
        Text(
            path="reply.content[3]",
            text="a",
            annotations=[Citation(path="reply.content[3].citations[0]", url="u", quote="c", extra=inner)],
        ),
        ToolCall(path="reply.content[4]", id="t", name="f", arguments='{"a":1}'),
        ToolCall(
            path="reply.content[5]",
            id="t2",
            name="f",
            arguments="{}",
            extra={"caller": {"type": "code_execution_20260120", "tool_id": "s"}},
        ),
    ]


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", "end"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("stop_sequence", "stop_sequence"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("model_context_window_exceeded", "context_window"),
        ("new", "end"),
        (None, "end"),
        ([], "end"),
    ],
)
def test_why_the_model_stopped(reason: object, stop: str) -> None:
    assert read(stop_reason=reason).stop == stop


def test_a_turn_that_ends_with_a_call_stopped_for_it() -> None:
    assert read(content=[{"type": "tool_use", "id": "t", "name": "f", "input": {}}]).stop == "tool_calls"


def test_the_sequence_the_tokens_and_the_tier() -> None:
    usage = {
        "input_tokens": 1,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 5},
        "service_tier": "priority",
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
    }
    reply = read(stop_reason="stop_sequence", stop_sequence="END", usage=usage)
    assert reply.stop_sequence == "END" and reply.service_tier == "priority" and reply.extra == {}
    assert reply.usage == Usage(
        input=321, output=9, cache_read=20, cache_write=300, reasoning=5, details=UsageDetails(tier="priority")
    )


def test_what_only_messages_says_of_a_reply_is_kept() -> None:
    used = {"web_search_requests": 2, "web_fetch_requests": 0}
    details = {"type": "refusal", "category": "bio", "explanation": "no"}
    reply = read(stop_details=details, container=None, usage={"server_tool_use": used})
    assert reply.extra == {"stop_details": details, "usage": {"server_tool_use": used}} and reply.usage == Usage(
        details=UsageDetails(web_search=2)
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"content":"text"}',
        b'{"content":[5]}',
        b'{"content":[{"type":"text","text":5}]}',
        b'{"content":[{}]}',
    ],
)
def test_what_is_no_message_is_a_bad_reply(body: bytes) -> None:
    with pytest.raises(BadReply) as raised:
        decode_response(body)
    assert raised.value.status == 502


@given(st.binary(max_size=60))
def test_any_bytes_are_a_reply_or_a_bad_one(body: bytes) -> None:
    with pytest.raises(BadReply):
        decode_response(body)


@pytest.mark.parametrize("wrong", ["text", 5, 1.5, True, None, [], {}, {"x": 1}, -3], ids=repr)
def test_a_wrong_type_beside_the_content_costs_its_own_field_only(wrong: object) -> None:
    for name in ("id", "model", "stop_reason", "stop_sequence", "usage"):
        assert read(**{name: wrong}).content == read().content


def test_an_error_with_a_good_status_says_what_it_is() -> None:
    with pytest.raises(BadReply, match="why") as raised:
        decode_response(b'{"type":"error","error":{"type":"rate_limit_error","message":"why"}}')
    assert (raised.value.status, raised.value.code) == (429, "rate_limit_error")
