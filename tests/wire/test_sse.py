"""Server-sent events, cut anywhere."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import BrokenStream
from llmproxy.wire import sse
from llmproxy.wire.framing import Frame
from llmproxy.wire.sse import Splitter, ends_frame, event_end, frame_end, last_frame_end

# Streams out of the pieces that matter: every line end, fields, comments, text of several bytes a character.
_PIECES = [
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "data: ",
    "data:",
    "data",
    "event: ",
    "id: 7",
    ": ping",
    "é😀",
    "x",
    ":",
    " ",
]
streams = st.lists(st.sampled_from(_PIECES), max_size=30).map(lambda pieces: "".join(pieces).encode())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def split(parts: list[bytes]) -> list[Frame]:
    splitter = Splitter()
    return [frame for part in parts for frame in splitter.feed(part)] + splitter.flush()


def by_the_standard(data: bytes) -> list[Frame]:
    """Read as the standard does, line by line, a stream that is all there."""
    frames = []
    event, lines = "", list[str]()
    for line in [*re.split("\r\n|\n|\r", data.decode().removeprefix("\ufeff")), ""]:
        if not line:
            if lines:
                frames.append(Frame(event, "\n".join(lines).encode()))
            event, lines = "", []
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            lines.append(value)
        elif name == "event":
            event = value
    return frames


@given(streams, st.lists(st.integers(0), max_size=8), st.booleans())
def test_frames_are_those_of_the_standard_wherever_the_bytes_are_cut(
    data: bytes, places: list[int], mark: bool
) -> None:
    data = b"\xef\xbb\xbf" * mark + data
    assert split(cut(data, places)) == by_the_standard(data)


@given(streams)
def test_frames_are_the_same_byte_by_byte(data: bytes) -> None:
    assert split([data[i : i + 1] for i in range(len(data))]) == split([data])


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (b"data: a\n\ndata: b\n\n", [Frame("", b"a"), Frame("", b"b")]),
        (b"event: ping\r\ndata: {}\r\n\r\n", [Frame("ping", b"{}")]),
        (b"data: a\rdata: b\r\r", [Frame("", b"a\nb")]),
        (b"data:a\ndata: b\ndata:  c\n\n", [Frame("", b"a\nb\n c")]),
        (b": keepalive\n\ndata: a\n\n", [Frame("", b"a")]),
        (b"id: 1\nretry: 3000\n\n", []),
        (b"event: alone\n\ndata: a\n\n", [Frame("", b"a")]),
        (b"data\n\n", [Frame("", b"")]),
        (b"\n\n\ndata: a\n\n\n", [Frame("", b"a")]),
        (b"data: no end", [Frame("", b"no end")]),
        (b"data: one line end\n", [Frame("", b"one line end")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Frame("", b"a")]),
        (b"data: a\xef\xbb\xbf\n\n", [Frame("", b"a\xef\xbb\xbf")]),
        (b"\xef\xbb", []),
        (b"event: \xff\ndata: a\n\n", [Frame("\ufffd", b"a")]),
        (b"", []),
    ],
)
def test_a_stream_has_these_frames(data: bytes, frames: list[Frame]) -> None:
    assert split([data]) == frames


def test_a_frame_is_given_as_soon_as_its_blank_line_is_there() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: a\n") == []
    assert splitter.feed(b"\nda") == [Frame("", b"a")]
    assert splitter.feed(b"ta: b\r\n\r") == [Frame("", b"b")]
    assert splitter.feed(b"\ndata: c\n\n") == [Frame("", b"c")]


def test_an_event_beyond_the_limit_breaks_the_stream() -> None:
    splitter = Splitter(max_bytes=100)
    assert splitter.feed(b"data: " + bytes(94)) == []
    with pytest.raises(BrokenStream):
        splitter.feed(b"x")


def test_many_events_may_together_be_larger_than_the_limit() -> None:
    assert len(Splitter(max_bytes=20).feed(b"data: a\n\n" * 100)) == 100


def test_an_event_in_thousands_of_reads_is_looked_through_once() -> None:
    class Counting(bytearray):
        looked_at = 0

        def find(self, needle: bytes, start: int = 0) -> int:  # type: ignore[override]  # as the splitter calls it
            Counting.looked_at += len(self) - start
            return super().find(needle, start)

    splitter = Splitter()
    splitter._buffer = Counting()
    for _ in range(5000):
        splitter.feed(b"data")
    assert Counting.looked_at <= 2 * 5000 * len(b"data")


@given(streams)
def test_the_end_of_a_frame_is_where_its_blank_line_ends(data: bytes) -> None:
    # A line end in one character: the search for two of them is then plain.
    plain = data.replace(b"\r\n", b"N").replace(b"\n", b"N").replace(b"\r", b"N")
    end = frame_end(data)
    if b"NN" in plain:
        assert len(re.sub(b"\r\n|\n|\r", b"N", data[:end])) == plain.index(b"NN") + 2
        assert ends_frame(data[:end])
    else:
        assert end == -1


@given(streams)
def test_the_last_end_of_a_frame_leaves_nothing_complete_behind_it(data: bytes) -> None:
    end = last_frame_end(data)
    assert end == -1 or ends_frame(data[:end])
    assert frame_end(data, max(end, 0)) == -1


@given(streams)
def test_an_event_ends_where_a_splitter_would_give_it(data: bytes) -> None:
    end = event_end(data)
    if end < 0:
        assert Splitter().feed(data) == []
    else:
        assert len(Splitter().feed(data[:end])) == 1
        assert event_end(data[: end - 1]) < 0 or data[end - 2 : end] == b"\r\n"


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", -1),
        (b": ping\n\n", -1),
        (b": ping\n\ndata: a", -1),
        (b": ping\n\ndata: a\n\nrest", 17),
        (b"retry: 1\n\nevent: e\r\ndata:\r\n\r\n", 29),
        (b"\xef\xbb\xbfdata: a\n\n", 12),
        (b"database: a\n\n", -1),
    ],
)
def test_comments_are_no_events(data: bytes, end: int) -> None:
    assert event_end(data) == end


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\n\r", b"\r\r\n", b"\r\n\r"])
def test_a_tail_with_a_blank_line_ends_a_frame(end: bytes) -> None:
    assert ends_frame((b"data: a" + end)[-4:])
    assert frame_end(b"data: a" + end + b"data: b") == len(b"data: a" + end)
    assert last_frame_end(b"data: a" + end + b"data: b") == len(b"data: a" + end)


@pytest.mark.parametrize("tail", [b"", b"a", b"a\n", b"a\r", b"\r\n", b"a\r\n", b"\n"])
def test_a_tail_without_one_does_not(tail: bytes) -> None:
    assert not ends_frame(tail)
    assert frame_end(tail) == last_frame_end(tail) == -1


@pytest.mark.parametrize("frame", [Frame("", b"{}"), Frame("ping", b"{}")])
def test_a_written_frame_is_read_again(frame: Frame) -> None:
    assert split([sse.write_frame(frame.data, frame.event)]) == [frame]


def test_the_limit_is_64_megabytes() -> None:
    assert sse.MAX_EVENT_BYTES == 64 * 1024 * 1024
