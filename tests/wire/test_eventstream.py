"""Messages of AWS event streams, held against botocore's own decoder."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy.errors import BrokenStream
from llmproxy.wire import eventstream
from llmproxy.wire.eventstream import (
    EVENT_STREAM,
    MessagePosition,
    MessageSplitter,
    pack_message,
    read_headers,
    write_exception,
    write_headers,
    write_message,
)
from llmproxy.wire.framing import ErrorFrame, Frame

_UUID = UUID("12345678-1234-5678-1234-567812345678")
_TIME = datetime(2026, 11, 29, 12, tzinfo=UTC)
HEADERS: dict[str, Any] = {
    "yes": True,
    "no": False,
    "byte": -128,
    "short": 32767,
    "integer": -(2**31),
    "long": 2**63 - 1,
    "bytes": b"\0\xff",
    "string": "Łódź 🙂",
    "time": _TIME,
    "uuid": _UUID,
}
READ = {**HEADERS, "time": int(_TIME.timestamp() * 1000), "uuid": _UUID.bytes}
STREAM = write_message("messageStart", b'{"role":"assistant"}') + write_message("contentBlockDelta", b'{"a":1}')
EXCEPTION = write_exception("throttlingException", b'{"message":"Slow down"}')
ERROR = pack_message(write_headers({":message-type": "error", ":error-code": "Bad", ":error-message": "No more"}), b"")


def read_by_botocore(*pieces: bytes) -> list[Any]:
    buffer, messages = EventStreamBuffer(), []
    for piece in pieces:
        buffer.add_data(piece)
        messages += list(buffer)
    return messages


def read(*pieces: bytes) -> list[Frame]:
    splitter = MessageSplitter()
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    return frames + splitter.flush()


def test_headers_of_all_types_are_those_of_botocore() -> None:
    written = write_headers(HEADERS)
    [message] = read_by_botocore(pack_message(written, b"payload"))
    assert message.headers == READ == dict(read_headers(written))
    assert message.payload == b"payload"


_NUMBERS = st.integers(-(2**63), 2**63 - 1)
_VALUES: Any = st.booleans() | _NUMBERS | st.binary(max_size=40) | st.text(max_size=20) | st.uuids()


@given(
    st.lists(st.tuples(st.dictionaries(st.text(max_size=20), _VALUES, max_size=4), st.binary(max_size=80)), max_size=4)
)
@settings(deadline=None)
def test_any_messages_are_read_as_botocore_reads_them(messages: list[tuple[dict[str, Any], bytes]]) -> None:
    stream = b"".join(pack_message(write_headers(headers), payload) for headers, payload in messages)
    theirs = read_by_botocore(stream)
    assert [(each.headers, each.payload) for each in theirs] == [
        ({name: value.bytes if isinstance(value, UUID) else value for name, value in headers.items()}, payload)
        for headers, payload in messages
    ]
    assert [frame.data for frame in read(stream) if not isinstance(frame, ErrorFrame)] == [
        each.payload for each in theirs
    ]
    assert [dict(read_headers(write_headers(headers))) for headers, _ in messages] == [each.headers for each in theirs]


def test_messages_are_the_same_wherever_the_bytes_are_cut() -> None:
    stream = STREAM + EXCEPTION + ERROR
    frames = [
        Frame("messageStart", b'{"role":"assistant"}'),
        Frame("contentBlockDelta", b'{"a":1}'),
        ErrorFrame("throttlingException", b'{"message":"Slow down"}'),
        ErrorFrame("Bad", b'{"message":"No more"}'),
    ]
    for cut in range(len(stream) + 1):
        assert read(stream[:cut], stream[cut:]) == frames
    assert read(*(bytes([byte]) for byte in stream)) == frames
    theirs = read_by_botocore(*(bytes([byte]) for byte in stream))
    assert [each.headers.get(":event-type", each.headers.get(":exception-type")) for each in theirs] == [
        *("messageStart", "contentBlockDelta", "throttlingException", None)
    ]


def test_a_message_without_a_known_type_is_an_event() -> None:
    assert read(pack_message(write_headers({":event-type": "odd"}), b"{}")) == [Frame("odd", b"{}")]
    assert read(pack_message(b"", b"{}")) == [Frame("", b"{}")]
    assert read(write_exception("x", b"")) == [ErrorFrame("x", b"{}")]


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_every_corrupt_byte_is_a_broken_stream_and_what_came_before_is_read(at: int) -> None:
    """Each bit counts: in the lengths, in the headers, in the payload and in the checksums themselves."""
    stream = STREAM[:at] + bytes([STREAM[at] ^ 1]) + STREAM[at + 1 :]
    splitter = MessageSplitter()
    first = len(write_message("messageStart", b'{"role":"assistant"}'))
    frames: list[Frame] = []
    with pytest.raises(BrokenStream):
        for start in range(0, len(stream), 5):
            frames += splitter.feed(stream[start : start + 5])
        splitter.flush()
    assert len(frames) == (1 if at >= first else 0)
    whole = MessageSplitter()
    with pytest.raises(BrokenStream):
        assert len(whole.feed(stream)) == 1 and whole.feed(b"") is not None


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05abc",
        b"\x01a",
        b"\x01a\x07\0\x09abc",
        b"\x01a\x07\0\x01\xff",
        b"\x01\xff\x00",
        b"\x01a\x0a",
        b"\x01a\x05\0",
        b"\x01a\x09\0",
        b"\x01a\x00\x01a\x00",
    ],
    ids=["name", "type", "length", "UTF-8", "UTF-8 name", "unknown", "number", "uuid", "twice"],
)
def test_headers_that_cannot_be_read_are_a_broken_stream(headers: bytes) -> None:
    with pytest.raises(BrokenStream, match="headers"):
        read(pack_message(headers, b"{}"))


@pytest.mark.parametrize(
    ("total", "headers"), [(15, 0), (0, 0), (16, 1), (1 << 31, 0), (300_000, 200_000), (25 << 20, 0)]
)
def test_lengths_that_cannot_be_are_a_broken_stream_at_once(total: int, headers: int) -> None:
    prelude = struct.pack("!II", total, headers)
    with pytest.raises(BrokenStream, match="bytes"):
        MessageSplitter().feed(prelude + struct.pack("!I", crc32(prelude)))


def test_a_stream_that_ends_within_a_message_is_broken() -> None:
    splitter = MessageSplitter()
    assert len(splitter.feed(STREAM[:-1])) == 1
    with pytest.raises(BrokenStream, match="within a message"):
        splitter.flush()


def test_a_large_message_in_many_reads_is_not_copied_each_time() -> None:
    stream = write_message("blob", b"x" * (20 << 20))
    splitter = MessageSplitter()
    frames = [frame for at in range(0, len(stream), 4096) for frame in splitter.feed(stream[at : at + 4096])]
    assert [len(frame.data) for frame in frames] == [20 << 20]


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_a_position_knows_the_place_between_two_messages_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    first = len(write_message("messageStart", b'{"role":"assistant"}'))
    position, at = MessagePosition(), 0
    for cut in [*sorted(cuts), len(STREAM)]:
        position.advance(STREAM[at:cut])
        at = cut
        assert position.between_frames() == (at in (0, first, len(STREAM)))


def test_nothing_fits_behind_corrupt_bytes() -> None:
    position = MessagePosition()
    position.advance(STREAM + b"not a message")
    assert not position.between_frames()
    position.advance(STREAM)
    assert not position.between_frames()


def test_only_a_first_message_that_is_marked_is_an_error() -> None:
    assert EVENT_STREAM.begins_with_error(EXCEPTION) and EVENT_STREAM.begins_with_error(ERROR + STREAM)
    for data in (STREAM + EXCEPTION, EXCEPTION[:-1], b"", b"no message at all", EXCEPTION[:-1] + b"\0"):
        assert not EVENT_STREAM.begins_with_error(data)


def test_corrupt_bytes_are_not_waited_for() -> None:
    assert EVENT_STREAM.event_end(b"no message at all") == -1
    assert EVENT_STREAM.last_frame_end(STREAM + b"no message at all", 0) == len(STREAM) + 17


def test_only_short_headers_are_remembered() -> None:
    remembered = eventstream._read_short_headers.cache_info
    before = remembered().misses
    long = pack_message(write_headers({f"h{number}": "x" * 50 for number in range(20)}), b"{}")
    assert len(MessageSplitter().feed(long)) == 1 and remembered().misses == before
    short = pack_message(write_headers({":event-type": "never before"}), b"{}")
    assert len(MessageSplitter().feed(short)) == 1 and remembered().misses == before + 1
