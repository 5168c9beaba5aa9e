"""Server-sent events: cutting a byte stream into frames, wherever the network cut it.

Follows the event stream format of the WHATWG HTML standard (9.2), with one leniency: what stands after the last blank
line counts as an event too, since services forget that line. `Splitter` reads; the functions answer questions about raw
bytes that are passed on unread. `SSE` holds all of it as a `Framing`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from llmproxy.errors import BrokenStream
from llmproxy.wire.framing import Frame, Framing

MAX_EVENT_BYTES = 64 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BLANK_LINE_ENDS = (b"\n\n", b"\n\r\n", b"\n\r", b"\r\r", b"\r\r\n")
# No JSON value begins like this.
_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":", _BOM)
_COMMENT = b": keepalive\n"
_DATA_FIELD = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\r\n])data[:\r\n]")


class Splitter:
    """Cuts pushed bytes into frames: the type of each event and its data lines, joined by newlines.

    Comments, ids and retry times are left out, as are events without data.
    """

    __slots__ = ("_buffer", "_cut_return", "_fresh", "_max_bytes")

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._buffer = bytearray()
        self._cut_return = False
        self._fresh = True
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes. Raises BrokenStream when one grows beyond `max_bytes`."""
        if self._cut_return or data.find(b"\r") >= 0:  # bytes `in` bytes makes an error first, 1,800 instructions
            data = self._without_returns(data)
        buffer = self._buffer
        seam = max(len(buffer) - 1, 0)
        buffer += data
        if self._fresh and not self._skip_mark():
            return []
        if buffer.find(b"\n\n", seam) < 0:
            if len(buffer) > self._max_bytes:
                raise BrokenStream(f"The provider sent an event of more than {self._max_bytes} bytes")
            return []
        blocks = bytes(buffer).split(b"\n\n")
        self._buffer = bytearray(blocks.pop())
        return [frame for block in blocks if (frame := _read(block)) is not None]

    def flush(self) -> list[Frame]:
        """Return the frame that no blank line closed, if there is one, when the stream has ended."""
        frame = _read(bytes(self._buffer))
        self._buffer.clear()
        return [] if frame is None else [frame]

    def _without_returns(self, data: bytes) -> bytes:
        """Write every line end as a newline. A return at the end counts at once; a newline that follows it does not."""
        if self._cut_return and data.startswith(b"\n"):
            data = data[1:]
            self._cut_return = False
        if data:
            self._cut_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _skip_mark(self) -> bool:
        """Drop a byte-order mark. Return False while too few bytes are here to know whether there is one."""
        buffer = self._buffer
        if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
            return False
        if buffer.startswith(_BOM):
            del buffer[: len(_BOM)]
        self._fresh = False
        return True


def begins(data: bytes) -> bool:
    """Return whether `data` begins like an event stream, after any white space."""
    return data.lstrip().startswith(_BEGINNINGS)


def frame_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return the offset after the first blank line at or after `start`; -1 when there is none."""
    end = data.find(b"\n\n", start)
    if data.find(b"\r", start, end if end >= 0 else len(data)) < 0:
        return end + 2 if end >= 0 else -1
    match = _BLANK_LINE.search(data, start)
    return match.end() if match else -1


def event_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return the offset after the first frame at or after `start` that carries data; -1 when none is complete.

    Comments that keep a connection alive, ids and retry times are frames, but no events.
    """
    while (end := frame_end(data, start)) >= 0:
        if _DATA_FIELD.search(data[start:end]):
            return end
        start = end
    return -1


def last_frame_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return the offset after the last blank line at or after `start`; -1 when there is none."""
    ends = _BLANK_LINE_ENDS if data.find(b"\r", start) >= 0 else _BLANK_LINE_ENDS[:1]
    return max(at + len(end) if (at := data.rfind(end, start)) >= 0 else -1 for end in ends)


def ends_frame(tail: bytes) -> bool:
    """Return whether a stream whose last bytes are `tail` (three are enough) is between two frames."""
    return tail.endswith(_BLANK_LINE_ENDS)


def keepalive(tail: bytes) -> bytes:
    """Return a comment for the place after `tail`; b"" within a frame.

    It is one line, and no blank line follows: that would dispatch an empty event in SDKs that have read an `id` line
    (openai-python). After a return there is none, since a newline that still belongs to it would be such a blank line.
    """
    return _COMMENT if ends_frame(tail) and not tail.endswith(b"\r") else b""


class TailPosition:
    """Knows a stream by its last bytes."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def advance(self, data: bytes) -> None:
        self._tail = data[-4:] if len(data) >= 4 else (self._tail + data)[-4:]

    def between_frames(self) -> bool:
        return ends_frame(self._tail)

    def keepalive(self) -> bytes:
        return keepalive(self._tail)


class BlankLinePosition(TailPosition):
    """The same for streams whose clients take a comment for data: a blank line keeps them alive."""

    __slots__ = ()

    def keepalive(self) -> bytes:
        return b"\n" if keepalive(self._tail) else b""


def write_frame(data: bytes, event: str = "") -> bytes:
    """Return the frame of an event with one line of data."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data) if event else b"data: %b\n\n" % data


def _read(block: bytes) -> Frame | None:
    """Return the frame in `block`, whose lines end in newlines; None for one without data."""
    if block.startswith(b"data: ") and block.find(b"\n") < 0:
        return Frame("", block[6:])
    event = b""
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ")
    return Frame(event.decode("utf-8", "replace"), b"\n".join(lines)) if lines else None


SSE = Framing(
    name="sse",
    media_type="text/event-stream",
    content_type="text/event-stream; charset=utf-8",
    begins=begins,
    splitter=Splitter,
    event_end=event_end,
    last_frame_end=last_frame_end,
    ends_frame=ends_frame,
    position=TailPosition,
)

BLANK_LINES = replace(SSE, position=BlankLinePosition)
"""Server-sent events for clients that know data and blank lines alone, and send no ids."""
