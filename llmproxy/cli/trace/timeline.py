"""The timeline of a stream: what came and when, such as texts and tool calls, rather than the frames that carried it.

Begin reading at `stream_moments`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from llmproxy.console.formatting import format_duration, format_usage
from llmproxy.dialects import catalog
from llmproxy.dialects.model import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from llmproxy.dialects.stream_events import Delta, Event, Fail, Open, Start, Stop, UsageUpdate
from llmproxy.records.record import Chunk, Record

# The number of first and last chunks of a stream in an unknown form.
_CHUNKS = 4


@dataclass(slots=True)
class Moment:
    """Something that came at `at_ms` after the exchange began: `kind` in a word or two, and `text`. What came in
    several `pieces` ended at `last_ms`."""

    at_ms: float
    kind: str
    text: str = ""
    pieces: int = 0
    last_ms: float = 0.0

    def describe(self) -> str:
        """Return kind, pieces and text, on one line when the text is."""
        parts = [self.kind]
        if self.pieces > 1:
            parts.append(f"({self.pieces} pieces until {format_duration(self.last_ms)})")
        return " ".join([*parts, *self.text.split()])


def stream_moments(record: Record) -> list[Moment]:
    """Return what a stream brought, in order; nothing for other answers."""
    chunks = record.response.chunks or []
    known = catalog.by_name(record.dialect)
    if known is not None and known.codec is not None:
        decoder = known.codec.stream_decoder()
        moments = _Moments()
        for chunk in chunks:
            for event in decoder.feed(_data(chunk)):
                moments.add(event, chunk.at_ms)
        if moments.seen:
            return moments.seen
    return list(_chunks(chunks))


class _Moments:
    """Collects the events of a stream; the pieces of a block are one moment."""

    def __init__(self) -> None:
        self.seen: list[Moment] = []
        self._blocks: dict[int, Moment] = {}

    def add(self, event: Event, at_ms: float) -> None:
        match event:
            case Open():
                self._open(event.index, Moment(at_ms, *_opened(event.block)))
            case Delta():
                self._go_on(event, at_ms)
            case Start():
                self._see(at_ms, "start", event.model)
            case UsageUpdate():
                self._see(at_ms, "tokens", format_usage(event.usage))
            case Stop():
                self._see(at_ms, "finish", event.word or event.reason)
            case Fail():
                self._see(at_ms, "error", event.message)
            case _:
                pass

    def _open(self, index: int, moment: Moment) -> None:
        self._blocks[index] = moment
        if moment.text:
            self.seen.append(moment)

    def _go_on(self, delta: Delta, at_ms: float) -> None:
        moment = self._blocks.get(delta.index)
        if moment is None or not delta.text:
            return
        if not moment.text:  # it begins when something of it comes
            moment.at_ms = at_ms
            self.seen.append(moment)
        moment.text += delta.text
        moment.pieces, moment.last_ms = moment.pieces + 1, at_ms

    def _see(self, at_ms: float, kind: str, text: str) -> None:
        self.seen.append(Moment(at_ms, kind, text))


def _opened(block: Block) -> tuple[str, str]:
    """Return the kind of a block, and what it holds when it opens."""
    match block:
        case Text():
            return "text", block.text
        case Thinking():
            return "thinking", block.text
        case Refusal():
            return "refusal", block.text
        case ToolCall():
            return "tool call", f"{block.name} {block.arguments}"
        case ToolResult():
            return "tool result", ""
        case Media():
            return block.kind, block.name or block.media_type or ""
        case Opaque():
            return block.kind, block.words or ""


def _chunks(chunks: list[Chunk]) -> Iterator[Moment]:
    """Yield the first and last chunks as they came, in one line each."""
    for number, chunk in enumerate(chunks):
        left_out = len(chunks) - 2 * _CHUNKS
        if left_out > 1 and number == _CHUNKS:
            yield Moment(chunk.at_ms, f"... {left_out} more chunks")
        if left_out <= 1 or not _CHUNKS <= number < len(chunks) - _CHUNKS:
            yield Moment(chunk.at_ms, _words(chunk))


def _words(chunk: Chunk) -> str:
    text = chunk.text if isinstance(chunk.text, str) else f"[base64] {chunk.base64}"
    return " ".join(text.split())


def _data(chunk: Chunk) -> bytes:
    if isinstance(chunk.text, str):
        return chunk.text.encode("utf-8", "replace")
    try:
        return base64.b64decode(chunk.base64 or b"")
    except ValueError:
        return b""
