"""Streams in the framing that their client asked for, where it is not the one in which its dialect writes them.

A stream of a provider that speaks the client's dialect comes as it was asked for; what was translated, stored or made
here is written anew, frame by frame. Begin reading at `reframed`.
"""

from __future__ import annotations

from llmproxy.answer import Answer
from llmproxy.body import ByteStream
from llmproxy.errors import BrokenStream
from llmproxy.exchange import Exchange
from llmproxy.wire.framing import FrameSplitter, FrameWriter, Framing


def reframed(exchange: Exchange, answer: Answer) -> Answer:
    """Return `answer`, its stream as the client asked for it."""
    endpoint = exchange.endpoint
    if endpoint is None or endpoint.dialect.other_framing is None or answer.framing is None:
        return answer
    framing = endpoint.framing_for(exchange.query)
    if (
        framing is answer.framing
        or framing.writer is None
        or answer.status >= 400
        or answer.headers.get("Content-Encoding")
    ):
        return answer
    stream = ReframedStream(answer.body, answer.stream, answer.framing, framing, framing.writer())
    answer.body, answer.stream, answer.length, answer.framing = b"", stream, None, framing
    answer.headers["Content-Type"] = framing.content_type
    answer.headers.popall("Content-Length", None)
    return answer


class ReframedStream:
    """A ByteStream that reads frames and writes them in another framing. `first` are the bytes that came already."""

    def __init__(
        self, first: bytes, stream: ByteStream | None, source: Framing, framing: Framing, writer: FrameWriter
    ) -> None:
        self._first = first
        self._stream = stream
        self._splitter: FrameSplitter = source.splitter()
        self._last_frame = framing.last_frame
        self._writer = writer
        self._ended = False

    async def read(self) -> bytes:
        written = b""
        while not written and not self._ended:
            data, self._first = self._first, b""
            if not data and self._stream is not None:
                data = await self._next(self._stream)
            self._ended = not data
            written = self._writer.write(self._splitter.feed(data) if data else self._splitter.flush())
            if self._ended:
                written += self._writer.close()
        return written

    async def _next(self, stream: ByteStream) -> bytes:
        """Return the next bytes. Where the stream breaks, what tells the client so is written anew, too."""
        try:
            return await stream.read()
        except BrokenStream as error:
            if error.frames and self._last_frame is not None:
                frames = self._splitter.feed(error.frames)
                last = self._last_frame(frames[-1].data) if frames else b""
                error.frames = self._writer.write(frames[:-1]) + last
            raise

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
