"""A framing that no vendor's dialect here has: one JSON value a line, nothing that keeps a stream alive."""

from __future__ import annotations

from llmproxy.wire.framing import Frame, Framing
from llmproxy.wire.json import read_value


class LineSplitter:
    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [Frame("", line) for line in lines if line.strip()]

    def flush(self) -> list[Frame]:
        rest, self._rest = self._rest, b""
        return [Frame("", rest)] if rest.strip() else []


class LinePosition:
    def __init__(self) -> None:
        self._last = b""

    def advance(self, data: bytes) -> None:
        self._last = data[-1:] or self._last

    def between_frames(self) -> bool:
        return self._last == b"\n"

    def keepalive(self) -> bytes:
        return b""


def _begins(data: bytes) -> bool:
    first, _, more = data.partition(b"\n")
    return bool(more.strip()) and isinstance(read_value(first), dict)


def _event_end(data: bytes) -> int:
    blank = len(data) - len(data.lstrip(b"\n"))
    return data.find(b"\n", blank) + 1 or -1


def _last_frame_end(data: bytes | bytearray, start: int) -> int:
    return data.rfind(b"\n", start) + 1 or -1


JSON_LINES = Framing(
    name="json_lines",
    media_type="application/jsonl",
    content_type="application/jsonl",
    begins=_begins,
    splitter=LineSplitter,
    event_end=_event_end,
    last_frame_end=_last_frame_end,
    ends_frame=lambda tail: tail.endswith(b"\n"),
    position=LinePosition,
)
