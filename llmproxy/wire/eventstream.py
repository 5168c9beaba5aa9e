"""AWS event streams: binary messages with their length in front, headers of several types, and two checksums.

Source: the Smithy specification of `application/vnd.amazon.eventstream`, and botocore's `eventstream.py`, whose limits
and header values these are. A message that is cut short, too long or corrupt is a `BrokenStream`. `EVENT_STREAM` holds
all of it as a `Framing`; begin reading at `MessageSplitter` and `write_message`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct, error
from types import MappingProxyType
from typing import NamedTuple, TypeAlias
from uuid import UUID
from zlib import crc32

from llmproxy.errors import BrokenStream
from llmproxy.wire.framing import ErrorFrame, Frame, Framing
from llmproxy.wire.json import write_value

HeaderValue: TypeAlias = bool | int | bytes | str | datetime | UUID
"""What is written as a header; what is read is a bool, an int (times too, in milliseconds), bytes (UUIDs too) or a
str, as in botocore."""

MAX_HEADER_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024

_PRELUDE = Struct("!III")
_LENGTHS = Struct("!II")
_CRC = Struct("!I")
_LENGTH = Struct("!H")
_NUMBERS = {2: Struct("!b"), 3: Struct("!h"), 4: Struct("!i"), 5: Struct("!q"), 8: Struct("!q")}
_BYTES, _STRING, _TIME, _UUID = 6, 7, 8, 9
_AROUND = _PRELUDE.size + _CRC.size
"""The bytes of a message beside its headers and its payload."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = {"exception": ":exception-type", "error": ":error-code"}


class Lengths(NamedTuple):
    """The lengths in the prelude of a message, in bytes; `total` counts all of it."""

    total: int
    headers: int


def read_headers(block: bytes) -> Mapping[str, HeaderValue]:
    """Return the headers of a message. Raises BrokenStream for bytes that are none."""
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(block):
            end = at + 1 + block[at]
            name = block[at + 1 : end].decode()
            value, at = _read_value(block, block[end], end + 1)
            if at > len(block) or name in headers:
                raise ValueError(name)
            headers[name] = value
    except (ValueError, IndexError, KeyError, error):
        raise BrokenStream("The provider sent a message of an event stream whose headers cannot be read") from None
    return MappingProxyType(headers)


def _read_value(block: bytes, kind: int, at: int) -> tuple[HeaderValue, int]:
    """Return the value that begins at `at`, and the offset after it, which may lie beyond the block."""
    if kind <= 1:
        return kind == 0, at
    if kind in (_BYTES, _STRING):
        end = at + 2 + int(_LENGTH.unpack_from(block, at)[0])
        data = block[at + 2 : end]
        return data if kind == _BYTES else data.decode(), end
    if kind == _UUID:
        return block[at : at + 16], at + 16
    number = _NUMBERS[kind]
    return int(number.unpack_from(block, at)[0]), at + number.size


# The events of a stream have few different headers, all of them short: 0.1 µs instead of 3.
_LONGEST_CACHED = 512
_read_short_headers = lru_cache(maxsize=256)(read_headers)


def write_headers(headers: Mapping[str, HeaderValue]) -> bytes:
    """Return the headers of a message as bytes. Whole numbers take the shortest of the four types."""
    return b"".join(
        bytes((len(name.encode()),)) + name.encode() + _write_value(value) for name, value in headers.items()
    )


def _write_value(value: HeaderValue) -> bytes:
    match value:
        case bool():
            return b"\0" if value else b"\1"
        case int():
            bits = (value if value >= 0 else ~value).bit_length()
            kind = next(kind for kind in (2, 3, 4, 5) if bits < 8 * _NUMBERS[kind].size)
            return bytes((kind,)) + _NUMBERS[kind].pack(value)
        case bytes():
            return bytes((_BYTES,)) + _LENGTH.pack(len(value)) + value
        case str():
            text = value.encode()
            return bytes((_STRING,)) + _LENGTH.pack(len(text)) + text
        case datetime():
            return bytes((_TIME,)) + _NUMBERS[_TIME].pack((value - _EPOCH) // timedelta(milliseconds=1))
        case UUID():
            return bytes((_UUID,)) + value.bytes


def pack_message(headers: bytes, payload: bytes) -> bytes:
    """Return a message with headers that `write_headers` wrote."""
    lengths = _LENGTHS.pack(_AROUND + len(headers) + len(payload), len(headers))
    message = b"".join((lengths, _CRC.pack(crc32(lengths)), headers, payload))
    return message + _CRC.pack(crc32(message))


@lru_cache(maxsize=256)
def _event_headers(kind: str, name: str) -> bytes:
    names = {"event": ":event-type", "exception": ":exception-type"}
    return write_headers({names[kind]: name, ":content-type": "application/json", ":message-type": kind})


def write_message(event: str, payload: bytes) -> bytes:
    """Return the message of an event with a JSON payload."""
    return pack_message(_event_headers("event", event), payload)


def write_exception(name: str, payload: bytes) -> bytes:
    """Return the message that reports an exception with a JSON payload."""
    return pack_message(_event_headers("exception", name), payload)


def read_lengths(data: bytes | bytearray, at: int) -> Lengths | None:
    """Return the lengths of the message that begins at `at`; None while its prelude is not whole. Raises BrokenStream
    for one that is corrupt or too long."""
    if len(data) - at < _PRELUDE.size:
        return None
    total, headers, checksum = _PRELUDE.unpack_from(data, at)
    if crc32(data[at : at + _LENGTHS.size]) != checksum:
        raise BrokenStream("The provider sent a message of an event stream whose prelude has a wrong checksum")
    payload = total - headers - _AROUND
    if payload < 0 or headers > MAX_HEADER_BYTES or payload > MAX_PAYLOAD_BYTES:
        raise BrokenStream(f"The provider sent a message of an event stream that claims to have {total} bytes")
    return Lengths(total, headers)


class MessageSplitter:
    """Cuts pushed bytes into messages: the type of each event and its payload."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes. Raises BrokenStream for a message that is corrupt or too long: when
        frames came in front of it, at the next call."""
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
        frames: list[Frame] = []
        at = 0
        try:
            while (lengths := read_lengths(buffer, at)) is not None and len(buffer) - at >= lengths.total:
                frames.append(_read_message(buffer, at, lengths))
                at += lengths.total
        except BrokenStream:
            if not frames:
                raise
        if buffer is data:
            self._buffer += data[at:]
        elif at:
            del self._buffer[:at]
        return frames

    def flush(self) -> list[Frame]:
        """Return nothing. Raises BrokenStream when the stream ended within a message."""
        if self._buffer:
            self.feed(b"")
            raise BrokenStream("The provider's stream ended within a message")
        return []


def _read_message(data: bytes | bytearray, at: int, lengths: Lengths) -> Frame:
    end = at + lengths.total - _CRC.size
    if crc32(data[at:end]) != _CRC.unpack_from(data, end)[0]:
        raise BrokenStream("The provider sent a message of an event stream with a wrong checksum")
    payload_at = at + _PRELUDE.size + lengths.headers
    read = _read_short_headers if lengths.headers <= _LONGEST_CACHED else read_headers
    headers = read(bytes(data[at + _PRELUDE.size : payload_at]))
    payload = bytes(data[payload_at:end])
    kind = str(headers.get(":message-type"))
    if kind not in _NAMES:
        return Frame(str(headers.get(":event-type", "")), payload)
    if kind == "error" and not payload:
        payload = write_value({"message": str(headers.get(":error-message", ""))})
    return ErrorFrame(str(headers.get(_NAMES[kind], "")), payload or b"{}")


def _end(data: bytes | bytearray) -> int:
    """Return the offset after the last whole message, -1 when there is none. Nothing is to be expected behind corrupt
    bytes: they end with what is there."""
    at = 0
    try:
        while (lengths := read_lengths(data, at)) is not None and len(data) - at >= lengths.total:
            at += lengths.total
    except BrokenStream:
        return len(data)
    return at or -1


def _begins(data: bytes) -> bool:
    try:
        return read_lengths(data, 0) is not None
    except BrokenStream:
        return False


def _first_frame(data: bytes) -> tuple[Frame | None, int]:
    """Return the first message that is an event or an error, and the offset after it; -1 when there is none."""
    try:
        lengths = read_lengths(data, 0)
        if lengths is None or len(data) < lengths.total:
            return None, -1
        return _read_message(data, 0, lengths), lengths.total
    except BrokenStream:
        return None, -1


class MessagePosition:
    """Knows a stream by how many bytes of its last message are to come. Behind corrupt bytes it is nowhere."""

    __slots__ = ("_broken", "_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._broken = False

    def advance(self, data: bytes) -> None:
        size = len(data)
        if size < self._left or self._broken:
            self._left -= size
            return
        head, at = data, self._left
        if self._head:  # then nothing is left of the message before
            head = self._head + data
        self._left = 0
        try:
            while (lengths := read_lengths(head, at)) is not None:
                at += lengths.total
                if at > len(head):
                    self._left = at - len(head)
                    break
        except BrokenStream:
            self._broken = True
        self._head = head[at:]

    def between_frames(self) -> bool:
        return not (self._left or self._head or self._broken)

    def keepalive(self) -> bytes:
        return b""  # a message of an unknown type would be ignored by some SDKs and shown by others


EVENT_STREAM = Framing(
    name="eventstream",
    media_type="application/vnd.amazon.eventstream",
    content_type="application/vnd.amazon.eventstream",
    begins=_begins,
    splitter=MessageSplitter,
    event_end=lambda data: _first_frame(data)[1],
    last_frame_end=lambda data, start: _end(data),
    ends_frame=lambda data: _end(data) == len(data),
    position=MessagePosition,
    begins_with_error=lambda data: isinstance(_first_frame(data)[0], ErrorFrame),
)
