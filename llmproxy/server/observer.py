"""Read an answer while it passes: usage, finish reason, first token, completeness.

The observer gets the bytes that were sent to the client. It decodes compressed ones into a bounded copy, reads streams
with the dialect's `Watch` and plain answers once they are whole; an answer that translation wrote it does not read
again. It never changes or delays anything.
"""

from __future__ import annotations

import time
from typing import Protocol

from msgspec import structs

from llmproxy.answer import Answer
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.provider_errors import error_text
from llmproxy.dialects.summary import Summary, Watch
from llmproxy.errors import Overloaded
from llmproxy.exchange import Exchange
from llmproxy.wire.compression import Decoder, DecodingError

COPY_BYTES = 8 * 1024 * 1024
UNCOUNTED_BYTES = 64 * 1024


class Observer(Protocol):
    """Sees the body of one answer."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes that were sent to the client."""

    def close(self) -> None:
        """Put the summary into the exchange; called when the body ended, whole or not."""


class _Blind:
    """Ignores bodies that cannot be read."""

    def feed(self, data: bytes) -> None:
        return

    def close(self) -> None:
        return


class _Stream:
    """Watches a stream of events."""

    __slots__ = ("_exchange", "_watch")

    def __init__(self, exchange: Exchange, watch: Watch) -> None:
        self._exchange = exchange
        self._watch = watch
        exchange.summary = watch.summary

    def feed(self, data: bytes) -> None:
        self._watch.feed(data)
        if self._watch.started and self._exchange.first_token_s is None:
            self._exchange.first_token_s = time.monotonic()

    def close(self) -> None:
        self._exchange.summary = self._watch.close()


class _Translated:
    """Takes over what translation knows of the answer that it wrote.

    Every `feed` brings all that was translated before it, so that what is known then is what the client has got.
    """

    __slots__ = ("_complete", "_exchange", "_streamed", "_summary")

    def __init__(self, exchange: Exchange, summary: Summary, *, streamed: bool) -> None:
        self._exchange = exchange
        self._summary = summary
        self._streamed = streamed
        self._complete = False
        exchange.summary = summary

    def feed(self, data: bytes) -> None:
        summary = self._summary
        self._complete = summary.complete
        if self._streamed and summary.started and self._exchange.first_token_s is None:
            self._exchange.first_token_s = time.monotonic()

    def close(self) -> None:
        self._exchange.summary = structs.replace(self._summary, complete=self._complete)


class _Plain:
    """Reads one JSON reply when it is whole."""

    __slots__ = ("_dialect", "_exchange", "_held_bytes", "_parts", "_size_bytes")

    def __init__(self, exchange: Exchange, dialect: Dialect | None) -> None:
        self._exchange = exchange
        self._dialect = dialect
        self._parts: list[bytes] | None = []
        self._size_bytes = self._held_bytes = 0

    def feed(self, data: bytes) -> None:
        if self._parts is None:
            return
        self._size_bytes += len(data)
        if self._size_bytes <= UNCOUNTED_BYTES or self._hold(len(data)):
            self._parts.append(data)
        else:
            self._parts = None
            self._exchange.release(self._held_bytes)

    def _hold(self, size_bytes: int) -> bool:
        """Count a part of a long body. Return False when it grows too long or there is no room for it."""
        if self._size_bytes > COPY_BYTES:
            return False
        try:
            self._exchange.hold(size_bytes)
        except Overloaded:
            return False
        self._held_bytes += size_bytes
        return True

    def close(self) -> None:
        if self._parts:
            self.read(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))

    def read(self, body: bytes) -> None:
        """Take a body that is whole, in place of `feed` and `close`."""
        if self._dialect is not None:
            self._exchange.summary = self._dialect.readers.summarize(body)


class _Failure(_Plain):
    """Reads an answer with a status of an error, whatever its form: gateways answer with pages and with plain text."""

    __slots__ = ()

    def read(self, body: bytes) -> None:
        super().read(body)
        summary = self._exchange.summary
        if summary.error is None:
            summary.error = error_text(body)


class _Decoded:
    """Decodes the bytes for another observer; stops when they cannot be decoded."""

    __slots__ = ("_decoder", "_inner")

    def __init__(self, inner: Observer, decoder: Decoder) -> None:
        self._inner = inner
        self._decoder: Decoder | None = decoder

    def feed(self, data: bytes) -> None:
        if self._decoder is not None:
            try:
                decoded = self._decoder.feed(data)
            except DecodingError:
                self._decoder = None
            else:
                if decoded:
                    self._inner.feed(decoded)

    def close(self) -> None:
        self._inner.close()


def observe(exchange: Exchange, answer: Answer) -> Observer:
    """Return the observer for `answer`."""
    if answer.bodiless or answer.error is not None:
        return _Blind()
    if answer.summary is not None:
        return _Translated(exchange, answer.summary, streamed=answer.framing is not None)
    inner = _reader(exchange, answer)
    if inner is None:
        return _Blind()
    encoding = answer.headers.get("Content-Encoding", "")
    if not encoding or encoding == "identity":
        return inner
    try:
        return _Decoded(inner, Decoder(encoding, COPY_BYTES))
    except DecodingError:
        return _Blind()


def observe_whole(exchange: Exchange, answer: Answer) -> None:
    """Read an answer that is whole, before it is sent."""
    if exchange.method == "HEAD":
        return
    observer = observe(exchange, answer)
    if type(observer) is _Plain and len(answer.body) <= UNCOUNTED_BYTES:  # most answers
        observer.read(answer.body)
        return
    observer.feed(answer.body)
    observer.close()


def _reader(exchange: Exchange, answer: Answer) -> Observer | None:
    """Return the observer for the decoded body; None when nothing can be read there."""
    dialect = None if exchange.endpoint is None else exchange.endpoint.dialect
    if answer.status >= 400 and answer.framing is None:
        return _Failure(exchange, dialect)
    if dialect is None:
        return None
    if answer.framing is not None:
        return _Stream(exchange, dialect.readers.watch())
    plain = answer.headers.get("Content-Type", "application/json")[:16].lower() == "application/json"
    return _Plain(exchange, dialect) if plain else None
