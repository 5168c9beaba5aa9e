"""What the decoders of streams have in common: cutting frames, collecting events, ends and failures.

A dialect reads one frame at a time and appends to `_events`. Begin reading at `StreamDecoder.feed`, which is on the hot
path of translation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from llmproxy.dialects.model import Block, Event, Fail, Lost, Open
from llmproxy.dialects.provider_errors import code_of, status_of
from llmproxy.errors import BrokenStream
from llmproxy.wire.framing import Frame, Framing
from llmproxy.wire.sse import SSE


def _is_empty(data: bytes) -> bool:
    """Say whether a frame keeps the connection alive and says nothing: no data, or a comment in its place."""
    return not data or data[:1] == b":" or data.isspace()


class StreamDecoder(ABC):
    """Decodes one stream of a provider into events."""

    def __init__(self, framing: Framing = SSE) -> None:
        self._splitter = framing.splitter()
        self._events: list[Event] = []
        self._started = False
        self._over = False
        self._next_index = 0
        self._lost: set[str] = set()

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
            if not _is_empty(frame.data):
                self._decode_frame(frame)
        events, self._events = self._events, []
        return events

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
            if not self._over and not _is_empty(frame.data):
                self._decode_frame(frame)
        if not self._over:
            self._end_early()
        return self._events

    @abstractmethod
    def _decode_frame(self, frame: Frame) -> None:
        """Append the events of one frame to `_events`. Sets `_over` with the last one."""

    def _end_early(self) -> None:
        """Handle a transport that ended without the dialect's last event."""
        self._fail("The provider's stream ended before its last event")

    def _open_block(self, block: Block) -> int:
        """Begin a block of the neutral stream and return its index."""
        index = self._next_index
        self._next_index += 1
        self._events.append(Open(index=index, block=block))
        return index

    def _lose(self, what: str) -> None:
        """List something of the stream as lost, once."""
        if what not in self._lost:
            self._lost.add(what)
            self._events.append(Lost(what=what))

    def _fail(self, message: str, error: object = None) -> None:
        """End the stream with a failure. `error` is the provider's own error object, if it sent one."""
        self._over = True
        code = code_of(error) or "upstream_stream_error"
        self._events.append(Fail(message=message, code=code, status=status_of(error)))
