from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.messages.reshape import MessagesReshape
from tests.support.sdk_streams import accumulate

RESHAPE = MessagesReshape()
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
CALLED = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": ["sky", 1.50]}}


def reply(*blocks: dict[str, Any], **members: Any) -> bytes:
    value = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(blocks)}
    ending = {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 5}}
    return json.dumps({**value, **ending, **members}).encode()


def events(stream: bytes | None) -> list[Any]:
    assert stream is not None
    frames = stream.decode().removesuffix("\n\n").split("\n\n")
    pairs = [frame.split("\n") for frame in frames]
    actual = [json.loads(data.removeprefix("data: ")) for _, data in pairs]
    assert [name for name, _ in pairs] == [f"event: {event['type']}" for event in actual]
    return actual


def test_blocks_open_grow_and_close_one_after_the_other() -> None:
    actual = events(RESHAPE.stream_of(reply(THOUGHT, {"type": "text", "text": "Yes"}), usage=True))
    assert [(event["type"], event.get("index")) for event in actual] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("message_delta", None),
        ("message_stop", None),
    ]


def test_the_message_begins_empty_and_ends_with_its_reason() -> None:
    actual = events(RESHAPE.stream_of(reply({"type": "text", "text": "Yes"}), usage=True))
    begun, ending = actual[0]["message"], actual[-2]
    assert (begun["id"], begun["content"], begun["stop_reason"]) == ("msg_1", [], None)
    assert ending["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert ending["usage"] == {"input_tokens": 3, "output_tokens": 5}


@pytest.mark.parametrize(
    "block",
    [
        THOUGHT,
        CALLED,
        {"type": "text", "text": "Yes", "citations": [{"type": "char_location", "cited_text": "y"}]},
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "https://h"}]},
        {"type": "novelty", "x": 1},
    ],
)
def test_each_block_is_the_same_there_and_back(block: dict[str, Any]) -> None:
    stream = RESHAPE.stream_of(reply(block), usage=True)
    assert stream is not None
    assert json.loads(RESHAPE.reply_of(stream) or b"")["content"] == [block]


def test_the_sdk_reads_the_stream_as_the_reply() -> None:
    stream = RESHAPE.stream_of(
        reply(THOUGHT, CALLED, container={"id": "k", "expires_at": "2026-01-01T00:00:00Z"}), usage=True
    )
    assert stream is not None
    actual = accumulate("messages", stream)
    assert actual["content"][0]["signature"] == "c2ln" and actual["content"][1]["input"] == CALLED["input"]


def test_a_stream_that_stops_early_is_no_reply() -> None:
    stream = RESHAPE.stream_of(reply({"type": "text", "text": "Yes"}), usage=True)
    assert stream is not None
    assert RESHAPE.reply_of(stream[: stream.index(b"event: message_stop")]) is None


def test_empty_texts_say_nothing() -> None:
    assert not RESHAPE.says_something(reply({"type": "text", "text": ""}))
    assert RESHAPE.says_something(reply(CALLED))
