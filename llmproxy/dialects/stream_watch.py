"""Watch a stream of events at low cost: the part of `Watch` that all dialects share.

Reads are looked at as bytes; JSON is decoded until the first content and then only for frames that a dialect calls
notable. Begin reading at `FrameWatch.feed`, which sees every read of every relayed stream.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod

from llmproxy.dialects.summary import Summary, Watch
from llmproxy.errors import BrokenStream
from llmproxy.wire.framing import Frame, Framing
from llmproxy.wire.sse import MAX_EVENT_BYTES, SSE

MAX_TEXT = 1024 * 1024
"""How many characters of a stream's text are kept."""


class FrameWatch(Watch):
    """Finds the frames and decides which are read. Dialects say what is notable, and read a frame."""

    __slots__ = ("_partial", "_room", "_texts", "started", "summary")

    framing: Framing = SSE

    def __init__(self, *, text: bool = False) -> None:
        self.started = False
        self.summary = Summary()
        self._partial = bytearray()
        self._texts: list[str] | None = [] if text else None
        self._room = MAX_TEXT

    @abstractmethod
    def _notable(self, data: bytes) -> bool:
        """Return whether `data`, which is whole frames, may hold more than text. Called for nearly every read."""

    @abstractmethod
    def _read(self, frame: Frame) -> None:
        """Read one frame into the summary."""

    def feed(self, data: bytes) -> None:
        if self._partial or not self.framing.ends_frame(data):
            data = self._join(data)
        if not self.started or self._texts is not None or self._notable(data):
            for frame in self._split(data):
                self._read(frame)

    def close(self) -> Summary:
        splitter = self.framing.splitter()
        with contextlib.suppress(BrokenStream):  # one that ends within a frame says nothing more
            for frame in splitter.feed(bytes(self._partial)) + splitter.flush():
                self._read(frame)
        self._partial.clear()
        if self._texts is not None:
            self.summary.text = "".join(self._texts)
        return self.summary

    def _split(self, data: bytes) -> list[Frame]:
        """Return the frames in `data`; none where they cannot be read, which is an error of the provider."""
        try:
            return self.framing.splitter().feed(data)
        except BrokenStream as error:
            self.summary.error = error.message
            return []

    def _join(self, data: bytes) -> bytes:
        """Return the frames that `data` completes; what follows the last one waits for more.

        A frame that grows too long is forgotten: what comes of it later is no field of a frame, and is passed over.
        """
        partial = self._partial
        seam = max(len(partial) - 3, 0)
        partial += data
        end = self.framing.last_frame_end(partial, seam)
        if end < 0:
            if len(partial) > MAX_EVENT_BYTES:
                partial.clear()
            return b""
        whole = bytes(partial[:end])
        del partial[:end]
        return whole

    def _say(self, text: object) -> None:
        """Note content; keep its text if this watch collects text, as long as there is room."""
        if isinstance(text, str) and text:
            self.started = True
            if self._texts is not None and self._room > 0:
                self._texts.append(text[: self._room])
                self._room -= len(text)
