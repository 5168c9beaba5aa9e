"""The bodies of answers that the translator gives: decoded, translated, or collected while they pass.

Each reads another stream. Begin reading at `TranslatedStream`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llmproxy.answer import Answer
from llmproxy.body import ByteStream
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.stream_events import Fail
from llmproxy.errors import BadRequest, BrokenStream, Overloaded, ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.translation.translation import StreamTranslation
from llmproxy.wire.compression import Decoder

REPLY_BYTES = 64 * 1024 * 1024


class DecodedStream:
    """The body of `answer` without its content coding, which some providers use though we ask for none."""

    def __init__(self, answer: Answer) -> None:
        self._stream, self._first = answer.stream, answer.body
        try:
            self._decoder = Decoder(answer.headers["Content-Encoding"], REPLY_BYTES)
        except BadRequest as error:
            raise _undecodable(error) from error
        self._pieces = self._decoder.pieces(b"")

    async def read(self) -> bytes:
        try:
            while not (piece := next(self._pieces, b"")):
                data = await self._next()
                if not data:
                    self._decoder.close()
                    return b""
                self._pieces = self._decoder.pieces(data)
        except BadRequest as error:
            raise _undecodable(error) from error
        return piece

    async def _next(self) -> bytes:
        data, self._first = self._first, b""
        return data if data or self._stream is None else await self._stream.read()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def _undecodable(error: BadRequest) -> UpstreamError:
    return UpstreamError(f"The provider's answer cannot be decoded: {error.message}")


class TranslatedStream:
    """A provider's stream as its client gets it. `finish` is awaited before the last frames of one that ends well."""

    def __init__(self, stream: ByteStream, frames: StreamTranslation, finish: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._frames = frames
        self._finish = finish
        self._ended = frames.done
        self._last = b""

    async def read(self) -> bytes:
        if not self._ended:
            written = await self._next()
            if not self._frames.done:
                return written
            self._last = written
        if self._last:
            await self._finish()  # when this reader leaves meanwhile, another one that shares the answer comes here too
        last, self._last = self._last, b""
        return last

    async def _next(self) -> bytes:
        frames = self._frames
        written = b""
        while not written and not self._ended:
            try:
                data = await self._stream.read()
            except ProxyError as error:
                self._ended = True
                last = frames.fail(Fail(message=error.message, code=error.code, status=error.status))
                raise BrokenStream(error.message, status=error.status, code=error.code, frames=last) from error
            written = frames.feed(data) if data else frames.close()
            self._ended = not data or frames.done
            if frames.failure is not None:
                failure = frames.failure
                self._ended = True
                raise BrokenStream(failure.message, status=failure.status, code=failure.code, frames=written)
        return written

    def close(self) -> None:
        self._stream.close()
        self._finish = _nothing  # it refers to the exchange, whose answer this is


async def _nothing(body: bytes | None = None) -> None:
    return


class RecalledStream:
    """A stream that another exchange called for, or a cache kept. `store` gets it as a whole reply before its end."""

    def __init__(
        self,
        answer: Answer,
        exchange: Exchange,
        dialect: Dialect,
        store: Callable[[bytes | None], Awaitable[None]],
    ) -> None:
        self._stream = answer.stream
        self._exchange = exchange
        self._reply_of = dialect.reshape.reply_of
        self._watch = dialect.readers.watch()
        self._store = store
        self._parts: list[bytes] = []
        self._over = False

    async def read(self) -> bytes:
        data = b"" if self._stream is None else await self._stream.read()
        await self.add(data)
        return data

    async def add(self, data: bytes) -> None:
        """Take the next part of the stream, before the client gets it."""
        if self._over:
            return
        try:
            self._exchange.hold(len(data))
        except Overloaded:
            self._over = True  # no room to collect it: nobody can continue this one
            self._parts.clear()
            return
        self._parts.append(data)
        self._watch.feed(data)
        if self._watch.summary.complete:
            self._over = True
            await self._store(self._reply_of(b"".join(self._parts)))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._store = _nothing
