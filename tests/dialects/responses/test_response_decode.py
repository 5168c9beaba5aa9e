from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.model import Opaque, Refusal, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.responses.response_decode import decode_response
from llmproxy.dialects.usage import Usage
from tests.support import vendors


def read(**changes: Any) -> Reply:
    return decode_response(json.dumps(vendors.response("m") | changes).encode())


def test_a_whole_response_is_read() -> None:
    reply = read()
    assert (reply.id, reply.model, reply.stop, reply.created_s) == ("resp_fake", "m", "end", 1700000000)
    assert [block.text for block in reply.content if isinstance(block, Text)] == [vendors.TEXT]
    assert reply.usage == Usage(
        input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, reasoning=vendors.REASONING
    )


def test_every_item_has_its_block() -> None:
    output = [
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "g=",
        },
        {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "id": "ct", "call_id": "d", "name": "g", "input": "x"},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        {"type": "function_call", "name": 5},
    ]
    reply = read(output=output)
    assert [type(block) for block in reply.content] == [Thinking, Refusal, ToolCall, ToolCall, Opaque, Opaque]
    thought = reply.content[0]
    assert isinstance(thought, Thinking) and (thought.text, thought.encrypted, thought.id) == ("hm", "g=", "rs")
    assert reply.stop == "tool_calls"


@pytest.mark.parametrize(
    ("changes", "stop"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": None}, "length"),
        ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]}, "refusal"),
        ({"output": []}, "end"),
    ],
)
def test_why_it_stopped(changes: dict[str, Any], stop: str) -> None:
    assert read(**changes).stop == stop


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"output": 5}',
        b'{"error": {"message": "boom"}, "output": []}',
        b'{"status": "failed", "output": []}',
        b'{"status": "cancelled", "output": []}',
    ],
)
def test_what_is_no_answer_is_a_502(body: bytes) -> None:
    with pytest.raises(BadReply) as refused:
        decode_response(body)
    assert refused.value.status == 502


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "content", "text", "summary", "call_id", "name", "id"]), inner)
    ),
    max_leaves=10,
)


@given(st.lists(JSON, max_size=4), JSON, JSON)
def test_any_output_is_read_or_refused(output: list[Any], usage: Any, details: Any) -> None:
    body = {"id": "x", "output": output, "usage": usage, "status": "incomplete", "incomplete_details": details}
    assert isinstance(decode_response(json.dumps(body).encode()), Reply)
