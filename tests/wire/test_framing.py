"""What every framing promises, whatever its bytes look like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmproxy.wire.eventstream import EVENT_STREAM, write_message
from llmproxy.wire.framing import Frame, Framing, StreamBeginning, StreamPosition
from llmproxy.wire.json_array import JSON_ARRAY
from llmproxy.wire.sse import SSE
from tests.support.json_lines import JSON_LINES

_MESSAGES = [write_message("", data) for data in (b'{"a":1}', b'{"b":2}')]
STREAMS = [
    pytest.param(SSE, b'data: {"a":1}\n\ndata: {"b":2}\n\n', b'data: {"a":1}\n\n', id="sse"),
    pytest.param(JSON_LINES, b'{"a":1}\n{"b":2}\n', b'{"a":1}\n', id="json_lines"),
    pytest.param(EVENT_STREAM, b"".join(_MESSAGES), _MESSAGES[0], id="eventstream"),
]


def at_end_of(framing: Framing, data: bytes) -> StreamPosition:
    """Return the position of a stream after `data`, which came in pieces."""
    position = framing.position()
    for start in range(0, len(data), 3):
        position.advance(data[start : start + 3])
    return position


@pytest.mark.parametrize(("framing", "stream", "first"), STREAMS)
def test_frames_are_the_same_wherever_the_bytes_are_cut(framing: Framing, stream: bytes, first: bytes) -> None:
    for cut in range(len(stream) + 1):
        splitter = framing.splitter()
        frames = [*splitter.feed(stream[:cut]), *splitter.feed(stream[cut:]), *splitter.flush()]
        assert frames == [Frame("", b'{"a":1}'), Frame("", b'{"b":2}')]


@pytest.mark.parametrize(("framing", "stream", "first"), STREAMS)
def test_the_functions_on_bytes_find_whole_frames(framing: Framing, stream: bytes, first: bytes) -> None:
    assert framing.event_end(stream) == len(first) and framing.event_end(first[:-1]) == -1
    assert framing.last_frame_end(stream, 0) == len(stream) and framing.last_frame_end(stream[:-1], 0) == len(first)
    assert framing.last_frame_end(first[:-1], 0) == -1


@pytest.mark.parametrize(("framing", "stream", "first"), STREAMS)
def test_the_end_of_a_frame_is_seen(framing: Framing, stream: bytes, first: bytes) -> None:
    assert framing.ends_frame(stream) and framing.ends_frame(first)
    assert not framing.ends_frame(stream[:-1])
    assert at_end_of(framing, stream).between_frames() and at_end_of(framing, first).between_frames()
    for end in (*range(1, len(first)), *range(len(first) + 1, len(stream))):
        assert not at_end_of(framing, stream[:end]).between_frames()


@pytest.mark.parametrize(("framing", "stream", "first"), STREAMS)
def test_a_stream_does_not_begin_like_a_plain_answer(framing: Framing, stream: bytes, first: bytes) -> None:
    assert framing.begins(stream) and not framing.begins_with_error(stream)
    for answer in (b"", b'{"a":1}', b'{"a":1}\n', b'{\n  "a": 1\n}', b"[1,\n2]", b"Bad gateway"):
        assert not framing.begins(answer)


@pytest.mark.parametrize(("framing", "stream", "first"), STREAMS)
def test_what_keeps_a_stream_alive_says_nothing_and_ends_nothing(framing: Framing, stream: bytes, first: bytes) -> None:
    alive = at_end_of(framing, stream).keepalive()
    assert at_end_of(framing, stream[:-1]).keepalive() == b""
    assert framing.splitter().feed(alive + first) == framing.splitter().feed(first)
    assert framing.event_end(alive) == -1 and framing.last_frame_end(alive, 0) == -1


@pytest.mark.parametrize(
    ("framing", "drip", "event"),
    [
        *((SSE, drip, b"\n\ndata: x\n\n") for drip in (b": wait\n\n", b":\r\n\r\n", b"retry: 1\r\r", b": one comment")),
        (JSON_ARRAY, b" \n", b'[{"a":1}'),
    ],
)
def test_each_byte_is_searched_once_for_the_first_event(framing: Framing, drip: bytes, event: bytes) -> None:
    searched: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self._splitter = framing.splitter()

        def feed(self, data: bytes) -> list[Frame]:
            searched.append(len(data))
            return self._splitter.feed(data)

        def flush(self) -> list[Frame]:
            raise AssertionError("it has not ended")

    def never(*_: object) -> int:
        raise AssertionError("it begins at the beginning")

    beginning = StreamBeginning(replace(framing, splitter=Counting, event_end=never, last_frame_end=never))
    whole = drip * 2000 + event
    for start in range(0, len(whole), 5):
        assert not beginning.found
        beginning.add(whole[start : start + 5])
    assert beginning.found and beginning.read() == whole and beginning.size_bytes == sum(searched) == len(whole)


def test_nothing_is_waited_for_behind_what_is_broken() -> None:
    for framing in (JSON_ARRAY, EVENT_STREAM):
        beginning = StreamBeginning(framing)
        beginning.add(b"<html>this is no stream</html>")
        assert beginning.found and beginning.read() == b"<html>this is no stream</html>"
