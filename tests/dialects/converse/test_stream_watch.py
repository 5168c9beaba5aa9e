"""Streams of ConverseStream, watched as they pass; held against the derived watch in `test_derived.py`."""

from __future__ import annotations

from llmproxy.dialects.converse.stream_watch import ConverseWatch
from llmproxy.dialects.usage import Usage
from tests.support import vendors
from tests.support.event_messages import messages_of

STREAM = messages_of(vendors.converse_events(tools=True))


def watched(*pieces: bytes, text: bool = False) -> ConverseWatch:
    watch = ConverseWatch(text=text)
    for piece in pieces:
        watch.feed(piece)
    watch.close()
    return watch


def test_a_stream_is_read_wherever_it_is_cut() -> None:
    for size in (1, 7, 64, len(STREAM)):
        pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
        summary = watched(*pieces, text=True).summary
        assert summary.text == vendors.TEXT and summary.complete and summary.finish_reason == "tool_use"
        usage = Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, cache_write=16)
        assert summary.usage == usage and summary.error is None


def test_a_stream_begins_with_its_first_content() -> None:
    start, first, *_ = vendors.converse_events()
    assert not watched(messages_of([start])).started and watched(messages_of([start, first])).started
    call = {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "n"}}}}
    assert watched(messages_of([start, call])).started


def test_an_exception_is_the_providers_error() -> None:
    begun = vendors.converse_events()[:3]
    summary = watched(messages_of([*begun, {"throttlingException": {"message": "Slow down"}}])).summary
    assert (summary.error, summary.complete) == ("Slow down", False)


def test_a_stream_is_whole_with_its_tokens_or_with_its_reason_at_the_end() -> None:
    *events, reason, tokens = vendors.converse_events()
    assert watched(messages_of([*events, reason, tokens])).summary.complete
    assert watched(messages_of([*events, reason])).summary.complete
    assert not watched(messages_of(events)).summary.complete
    assert not watched(messages_of([*events, reason, tokens])[:-1], b"").summary.usage


def test_corrupt_bytes_are_an_error_and_nothing_is_kept_of_them() -> None:
    watch = ConverseWatch()
    watch.feed(b"no message of an event stream" * 1000)
    assert "checksum" in str(watch.summary.error) and not watch._partial
    assert not watch.close().complete
