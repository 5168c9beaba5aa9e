"""A stream whose reads somebody looks at before the client gets them: to learn what a provider made.

Begin reading at `ScannedStream`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from llmproxy.answer import Answer
from llmproxy.body import ByteStream
from llmproxy.dialects.sealed_thinking import Unwrapper
from llmproxy.errors import BrokenStream
from llmproxy.wire.compression import Decoder, DecodingError

Find = Callable[[bytes], Sequence[str]]
Bind = Callable[[Sequence[str]], Awaitable[None]]

DECODED_BYTES = 8 * 1024 * 1024


class Readable:
    """Decodes an answer for somebody who only looks at it: at most DECODED_BYTES of it, nothing that cannot be decoded.

    `unwrap` takes a stream out of its frames, where these hide it.
    """

    __slots__ = ("_decoder", "_unwrap", "over")

    def __init__(self, answer: Answer, unwrap: Unwrapper | None = None) -> None:
        self._unwrap = unwrap
        encoding = answer.headers.get("Content-Encoding", "")
        self.over = False
        self._decoder: Decoder | None = None
        if encoding and encoding != "identity":
            try:
                self._decoder = Decoder(encoding, DECODED_BYTES)
            except DecodingError:
                self.over = True

    def feed(self, data: bytes) -> bytes:
        """Return the decoded bytes; nothing once `over`."""
        if self.over or not data:
            return b""
        try:
            plain = data if self._decoder is None else self._decoder.feed(data)
            return plain if self._unwrap is None else self._unwrap.feed(plain)
        except (DecodingError, BrokenStream):
            self._decoder, self.over = None, True
            return b""


class ScannedStream:
    """Another stream. `find` returns names in what was read, and `bind` is awaited with them before the client gets
    that: what it comes back with is known by then."""

    __slots__ = ("_bind", "_data", "_find", "_names", "_readable", "_stream")

    def __init__(self, stream: ByteStream, readable: Readable, find: Find, bind: Bind) -> None:
        self._stream = stream
        self._readable = readable
        self._find = find
        self._bind = bind
        self._data = b""
        self._names: Sequence[str] = ()

    async def read(self) -> bytes:
        if not self._data:
            data = await self._stream.read()
            names = self._find(self._readable.feed(data)) if data and not self._readable.over else ()
            if not names:
                return data
            self._data, self._names = data, names
        await self._bind(self._names)  # cancelled here, the next call comes here again
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        self._stream.close()
