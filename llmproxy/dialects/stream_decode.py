"""What the decoders of streams have in common: cutting frames, collecting events, ends and failures.

A dialect reads one frame at a time and appends to `_events`. Begin reading at `StreamDecoder.feed`, which is on the hot
path of translation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from llmproxy.dialects.model import Block
from llmproxy.dialects.provider_errors import code_of, error_text, read_error, reports_error, status_of
from llmproxy.dialects.stream_deltas import DeltaRepair
from llmproxy.dialects.stream_events import Event, Fail, Lost, Open
from llmproxy.errors import BrokenStream
from llmproxy.wire.framing import Frame, Framing
from llmproxy.wire.json import read_value
from llmproxy.wire.sse import SSE


def _is_empty(data: bytes) -> bool:
    """Return whether a frame only keeps the connection alive: no data, or a comment or null in its place."""
    return not data or data[:1] == b":" or data == b"null" or data.isspace()


class StreamDecoder(ABC):
    """Decodes one stream of a provider into events."""

    _is_empty = staticmethod(_is_empty)

    def __init__(self, framing: Framing = SSE) -> None:
        self._splitter = framing.splitter()
        self._events: list[Event] = []
        self._started = False
        self._over = False
        self._id = ""
        self._next_index = 0
        self._lost: set[str] = set()
        self._deltas = DeltaRepair()
        self._last_words: tuple[str, object] | None = None

    def feed(self, data: bytes) -> Sequence[Event]:
        """Return the events in the next identity-coded bytes, cut anywhere. Never raises for what the bytes say: what
        cannot be read is a `Fail`, after which nothing more comes."""
        if self._over:
            return ()
        try:
            frames = self._splitter.feed(data)
        except BrokenStream as error:
            self._fail(error.message)
            frames = []
        for frame in frames:
            if self._over:
                break
            if not self._is_empty(frame.data):
                self._decode_frame(frame)
        events, self._events = self._events, []
        return self._deltas.repair(events)

    def close(self) -> Sequence[Event]:
        """Return the rest; called when the transport ended. Without the dialect's last event that is a `Fail`; nothing
        after `Done`."""
        if self._over:
            return ()
        try:
            frames = self._splitter.flush()
        except BrokenStream as error:
            self._fail(error.message)
            frames = []
        for frame in frames:
            if not self._over and not self._is_empty(frame.data):
                self._decode_frame(frame)
        if not self._over:
            self._end_early()
        return self._deltas.repair(self._events)

    @abstractmethod
    def _decode_frame(self, frame: Frame) -> None:
        """Append the events of one frame to `_events`. Sets `_over` with the last one."""

    def _end_early(self) -> None:
        """Handle a transport that ended without the dialect's last event."""
        self._fail_unfinished("The provider's stream ended before its last event")

    def _open_block(self, block: Block) -> int:
        """Begin a block of the neutral stream and return its index."""
        index = self._next_index
        self._next_index += 1
        self._events.append(Open(index=index, block=block))
        return index

    def _check_id(self, name: object) -> None:
        """End a stream in which another answer begins before the first one ended: its parts would be mixed up."""
        if self._id and isinstance(name, str) and name and name != self._id:
            self._fail("The provider's stream began a second answer before the first one ended")

    def _lose(self, what: str) -> None:
        """List something of the stream as lost, once."""
        if what not in self._lost:
            self._lost.add(what)
            self._events.append(Lost(what=what))

    def _read_error(self, frame: Frame) -> bool:
        """Read a frame that says nothing in this dialect, and return whether it holds words.

        An error, in whatever form, ends the stream. Other words are kept: they may say why it ends early.
        """
        value = read_value(frame.data)
        message, error = read_error(value)
        if frame.event == "error" or reports_error(value):
            self._fail(message or error_text(frame.data) or "The provider reported an error", error)
        elif message is not None:
            self._last_words = message, error
        return message is not None or self._over

    def _ends_with_error(self, frame: Frame) -> bool:
        """Read a frame that may be an error, and return whether it ended the stream."""
        self._read_error(frame)
        return self._over

    def _fail_unreadable(self, frame: Frame, why: str) -> None:
        """End the stream at a frame that is not of this dialect, with its words."""
        if not self._read_error(frame) and not self._over:
            words = error_text(frame.data)
            self._fail(f"The provider sent an event that {why}" + (f": {words}" if words else ""))

    def _fail_unfinished(self, message: str) -> None:
        """End a stream that has no end of its dialect, with the last words that were none of an answer."""
        self._fail(*(self._last_words or (message,)))

    def _fail(self, message: str, error: object = None) -> None:
        """End the stream with a failure. `error` is the provider's own error object, if it sent one."""
        self._over = True
        code = code_of(error) or "upstream_stream_error"
        self._events.append(Fail(message=message, code=code, status=status_of(error)))
