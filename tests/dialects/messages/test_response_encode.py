"""Whole messages, written for the official SDK."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import Message

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.messages.response_decode import decode_response
from llmproxy.dialects.messages.response_encode import encode_response
from llmproxy.dialects.messages.tables import STOP_REASONS, STOP_WORDS
from llmproxy.dialects.model import (
    Block,
    Citation,
    Media,
    Opaque,
    Refusal,
    Reply,
    Request,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.dialects.usage import Usage
from llmproxy.wire.json import write_value

REQUEST = Request(dialect="messages", model="asked")


def write(
    *content: Block, dropped: list[str] | None = None, stop: StopReason = "end", **members: Any
) -> dict[str, Any]:
    losses = Losses()
    members = {"id": "chatcmpl-1", "model": "m", "dialect": "chat", **members}
    written = encode_response(Reply(content=list(content), stop=stop, **members), REQUEST, EncodeContext(losses=losses))
    Message.model_validate(written)
    assert losses.dropped == (dropped or [])
    return written


def blocks(*content: Block, dropped: list[str] | None = None) -> Any:
    return write(*content, dropped=dropped)["content"]


def test_a_plain_reply_of_which_nothing_more_is_known() -> None:
    assert write(Text(text="Hi")) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    assert write(model="")["model"] == "asked"


@pytest.mark.parametrize(
    ("given", "written"), [("msg_1", "msg_1"), ("resp_2", "msg_2"), ("chatcmpl-3", "msg_3"), ("gen-4", "msg_gen-4")]
)
def test_ids_have_the_prefix_of_messages(given: str, written: str) -> None:
    assert write(id=given)["id"] == written
    assert len(write(id="")["id"]) > len("msg_")


def test_cached_tokens_are_told_beside_the_input() -> None:
    usage = Usage(input=321, output=9, cache_read=20, cache_write=300, reasoning=5)
    assert write(usage=usage)["usage"] == {
        "input_tokens": 1,
        "cache_creation_input_tokens": 300,
        "cache_read_input_tokens": 20,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 5},
    }


def test_a_service_tier_is_told_where_messages_has_a_word_for_it() -> None:
    assert write(service_tier="default")["usage"]["service_tier"] == "standard"
    assert "service_tier" not in write(service_tier="flex", dropped=["reply.service_tier"])["usage"]


@pytest.mark.parametrize("stop", STOP_WORDS)
def test_every_reason_to_stop_has_a_word(stop: StopReason) -> None:
    reason = write(Text(text="a"), stop=stop)["stop_reason"]
    assert STOP_REASONS[reason] == ("refusal" if stop == "content_filter" else stop)
    assert write(stop="stop_sequence", stop_sequence="END")["stop_sequence"] == "END"


def test_calls_with_their_input() -> None:
    calls = [ToolCall(id="call_1", name="f", arguments='{"a":1}'), ToolCall(id="c", name="g", arguments="")]
    written = write(*calls)
    assert written["stop_reason"] == "tool_use"
    assert written["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "c", "name": "g", "input": {}},
    ]


def test_arguments_that_are_no_object_are_kept_as_text() -> None:
    call = ToolCall(id="c", name="f", arguments="{oops")
    assert blocks(call, dropped=["reply.tool_call.arguments"])[0]["input"] == {"_raw": "{oops"}
    free = ToolCall(id="c", name="f", arguments="any text", custom=True)
    assert blocks(free)[0]["input"] == {"input": "any text"}


def test_thinking_has_its_own_seal_or_none() -> None:
    assert blocks(
        Thinking(text="a", dialect="messages", signature="s="),
        Thinking(text="", dialect="messages", signature="t="),
        Thinking(text="", dialect="messages", encrypted="d=", redacted=True),
        Thinking(text="b", dialect="responses", signature="x", encrypted="y"),
    ) == [
        {"type": "thinking", "thinking": "a", "signature": "s="},
        {"type": "thinking", "thinking": "", "signature": "t="},
        {"type": "redacted_thinking", "data": "d="},
        {"type": "thinking", "thinking": "b", "signature": ""},
    ]
    assert blocks(Thinking(text="", dialect="responses", encrypted="y"), dropped=["reply.thinking"]) == []


def test_a_refusal_is_text_and_the_reason() -> None:
    written = write(Refusal(text="No."), stop="refusal")
    assert written["content"] == [{"type": "text", "text": "No."}] and written["stop_reason"] == "refusal"


def test_empty_texts_are_left_out() -> None:
    assert blocks(Text(text=""), Refusal(text="")) == []


def test_a_link_is_a_citation_and_its_place_is_not() -> None:
    link = Citation(path="a", url="https://a", title="A", start=0, end=2)
    text = blocks(Text(text="Hi", annotations=[link]), dropped=["reply.citation.position"])[0]
    assert text["citations"] == [
        {
            "type": "web_search_result_location",
            "url": "https://a",
            "title": "A",
            "cited_text": "",
            "encrypted_index": "",
        }
    ]
    file = Citation(path="a", file_id="f")
    assert "citations" not in blocks(Text(text="Hi", annotations=[file]), dropped=["reply.citation"])[0]


def test_what_has_no_place_is_listed() -> None:
    lost = ["reply.logprobs", "reply.web_search_call", "reply.image", "reply.tool_result"]
    search = Opaque(dialect="responses", kind="web_search_call", value={})
    content: list[Block] = [
        Text(text="a", logprobs=[1]),
        search,
        Media(kind="image", data=""),
        ToolResult(id="t", content=[]),
    ]
    assert blocks(*content, dropped=lost) == [{"type": "text", "text": "a"}]
    write(path="reply", extra={"moderation": 1}, dropped=["reply.moderation"])


def test_a_message_is_written_as_it_was_read() -> None:
    cited = {
        "type": "char_location",
        "cited_text": "c",
        "document_index": 0,
        "document_title": None,
        "start_char_index": 1,
        "end_char_index": 2,
    }
    found = {
        "type": "web_search_result_location",
        "url": "u",
        "title": "T",
        "cited_text": "c",
        "encrypted_index": "e=",
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s="},
            {"type": "redacted_thinking", "data": "d="},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
            {"type": "text", "text": "a", "citations": [cited, found]},
            {
                "type": "tool_use",
                "id": "t",
                "name": "f",
                "input": {"a": [1, None]},
                "caller": {"type": "code_execution_20260120", "tool_id": "s"},
            },
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "stop_details": {"type": "refusal"},
        "usage": {
            "input_tokens": 1,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 20,
            "output_tokens": 9,
            "service_tier": "priority",
            "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
        },
    }
    assert (
        encode_response(
            decode_response(write_value(message)), REQUEST, EncodeContext(losses=Losses(strict=True), own=True)
        )
        == message
    )
