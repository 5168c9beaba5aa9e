"""Streams of message events."""

from __future__ import annotations

import json

import pytest

from llmproxy.dialects.messages import CODEC, DIALECT
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from tests.support.sdk_clients import USAGE, anthropic_client, stream_frames


def event(kind: str, *, named: bool = True, **members: object) -> bytes:
    name = f"event: {kind}\n" if named else ""
    return f"{name}data: {json.dumps({'type': kind, **members})}\n\n".encode()


def start(**usage: object) -> bytes:
    return event("message_start", message={"model": "m", "usage": usage})


def delta(**members: object) -> bytes:
    return event("content_block_delta", index=0, delta=members)


TEXT = delta(type="text_delta", text="a")


def watched(*frames: bytes) -> Summary:
    watch = DIALECT.readers.watch()
    for frame in frames:
        watch.feed(frame)
    return watch.close()


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        delta(type="thinking_delta", thinking="hm"),
        delta(type="input_json_delta", partial_json="{"),
        event("content_block_start", content_block={"type": "tool_use", "name": "f", "input": {}}),
        event("content_block_start", content_block={"type": "redacted_thinking", "data": "x"}),
        event("content_block_start", content_block={"type": "text", "text": "a"}),
    ],
    ids=repr,
)
def test_a_stream_starts_with_its_first_content(content: bytes) -> None:
    watch = DIALECT.readers.watch()
    for frame in (
        start(input_tokens=1),
        event("content_block_start", content_block={"type": "thinking", "thinking": "", "signature": ""}),
        event("ping"),
        event("content_block_start", content_block={"type": "text", "text": ""}),
        delta(type="text_delta", text=""),
        delta(type="input_json_delta", partial_json=""),
    ):
        watch.feed(frame)
        assert not watch.started
    watch.feed(content)
    assert watch.started


def test_usage_grows_with_the_stream() -> None:
    begun = start(input_tokens=3, cache_read_input_tokens=100, cache_creation_input_tokens=20, output_tokens=1)
    assert watched(begun, TEXT).usage == Usage(input=123, output=1, cache_read=100, cache_write=20)
    grown = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 40})
    later = event(
        "message_delta", delta={}, usage={"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 9}}
    )
    assert watched(begun, TEXT, grown, later).usage == Usage(
        input=123, output=50, cache_read=100, cache_write=20, reasoning=9
    )


def test_usage_that_is_only_known_at_the_end_replaces_what_was_told_at_the_start() -> None:
    begun = start(input_tokens=0, output_tokens=0)
    ended = event(
        "message_delta", delta={}, usage={"input_tokens": 7, "output_tokens": 5, "cache_read_input_tokens": 2}
    )
    assert watched(begun, TEXT, ended).usage == Usage(input=9, output=5, cache_read=2)
    assert watched(TEXT, ended).usage == Usage(input=9, output=5, cache_read=2)


def test_a_later_cached_count_joins_the_input_told_before() -> None:
    ended = event("message_delta", delta={}, usage={"cache_read_input_tokens": 2})
    assert watched(start(input_tokens=7, cache_read_input_tokens=1), TEXT, ended).usage == Usage(input=9, cache_read=2)


def test_a_stream_is_complete_with_its_last_event() -> None:
    stop = event("message_delta", delta={"stop_reason": "max_tokens"}, usage={})
    assert watched(start(), TEXT, stop) == Summary(model="m", usage=Usage(), finish_reason="max_tokens")
    assert watched(start(), TEXT, stop, event("message_stop")).complete
    assert watched(start(), TEXT, event("message_stop", named=False)).complete


def test_an_event_without_a_type_has_the_name_of_its_frame() -> None:
    assert watched(start(), TEXT, b'event: message_stop\ndata: {"x":"message_"}\n\n').complete


@pytest.mark.parametrize("before", [(), (start(), TEXT)])
def test_an_error_in_the_stream_is_recorded(before: tuple[bytes, ...]) -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    summary = watched(*before, error)
    assert (summary.error, summary.complete) == ("Overloaded", False)


def test_the_sdk_reads_the_canned_stream() -> None:
    client = anthropic_client(stream_frames(CODEC))
    with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream:
        assert list(stream.text_stream) == ["stub ", "response"]
        message = stream.get_final_message()
    assert (message.id, message.model, message.stop_reason) == ("msg_7", "stub-1", "end_turn")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (6, 2)


def test_the_events_come_in_the_vendors_order() -> None:
    kinds = [json.loads(frame.split(b"data: ")[1])["type"] for frame in stream_frames(CODEC)]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_what_is_written_is_read_again() -> None:
    watch = DIALECT.readers.watch(text=True)
    for frame in stream_frames(CODEC):
        watch.feed(frame)
    assert watch.close() == Summary(
        model="stub-1", usage=USAGE, finish_reason="end_turn", text="stub response", complete=True
    )
