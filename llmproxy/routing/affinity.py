"""Send what names a stored thing (a response, file, batch ...) to the provider that made it.

Who made what is learned from answers and kept by identity, so that nobody reaches what is another's. Unknown ids follow
the ordinary route. While the store does not answer nothing is learned, and everything is unknown. Begin reading at
`Affinity.maker`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from llmproxy.access.identity import identity_of
from llmproxy.answer import Answer
from llmproxy.body import Body, StreamedBody, iterate
from llmproxy.call import Call
from llmproxy.dialects.stored_ids import ids_in_answer, ids_in_request
from llmproxy.exchange import Exchange
from llmproxy.routing.answer_scan import Readable, ScannedStream
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.facet import StoreFault

MAX_BYTES = 16 * 1024 * 1024  # about 40,000 ids
_KEPT_S = 30 * 86400.0  # as long as OpenAI stores responses
STORED_HERE = "-"
"""The maker of what translation stored here: no provider knows it."""

_READ_BYTES = 64 * 1024
_HEAD_BYTES = 8 * 1024  # what an object made stands in, with what it repeats of the request


class Affinity:
    """The makers of stored things, in `store`."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    async def maker(self, exchange: Exchange) -> str | None:
        """Return the name of the provider that made what a request names, STORED_HERE, or "" where that is unknown;
        None for a request that names nothing. Which of its credentials it was made with is put into the exchange."""
        endpoint = exchange.endpoint
        body = await _read(exchange)
        members = exchange.body.members if body is not None and isinstance(exchange.body, Body) else None
        with_path = endpoint is not None and not endpoint.model
        ids = ids_in_request(exchange.path, body, members, with_path=with_path)
        if not ids:
            return None
        identity = identity_of(exchange)
        try:
            found = await asyncio.gather(*(self._store.get(affinity_key(identity, each)) for each in ids))
        except StoreFault:
            return ""
        value = next((value.decode("utf-8", "replace") for value in found if value), "")
        maker, _, exchange.credential = value.partition(" ")
        return maker

    async def learn(self, exchange: Exchange, answer: Answer) -> None:
        """Keep who made what an answer names, before the client gets it."""
        endpoint = exchange.endpoint
        if endpoint is None or not exchange.calls or answer.status >= 300:
            return
        if endpoint.model and not endpoint.dialect.stateful:
            return
        readable, identity = Readable(answer), identity_of(exchange)
        maker = _maker_of(exchange.calls[-1]).encode("utf-8", "replace")

        async def bind(ids: Sequence[str]) -> None:
            await self._bind(identity, ids, maker)

        beginning = _Beginning(first=endpoint.model)
        if ids := beginning.feed(readable.feed(answer.body)):
            await bind(ids)
        is_readable = "Content-Encoding" in answer.headers and not (readable.over or beginning.over)
        if answer.stream is not None and is_readable:
            answer.stream = ScannedStream(answer.stream, readable, beginning.feed, bind)

    async def _bind(self, identity: str, ids: Sequence[str], maker: bytes) -> None:
        try:
            await asyncio.gather(*(self._store.set(affinity_key(identity, each), maker, _KEPT_S) for each in ids))
        except StoreFault:
            return


class _HeldStream:
    """A body that was read already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        self._data = b""


async def _read(exchange: Exchange) -> bytes | None:
    """Return the body as far as it may name something: all that is held, and small JSON that only passes through."""
    body = exchange.body
    if isinstance(body, Body):
        return None if body.encoding else body.raw
    if body is None or not 0 < (body.length or 0) <= _READ_BYTES:
        return None
    if "json" not in exchange.headers.get("Content-Type", "") or "Content-Encoding" in exchange.headers:
        return None
    exchange.hold(body.length or 0)
    data = b"".join([piece async for piece in iterate(body.stream)])
    exchange.body = StreamedBody(stream=_HeldStream(data), length=body.length)
    return data


class _Beginning:
    """The beginning of an answer, which may come in pieces: little of a compressed one is there at the commit point.
    With `first` only what was made itself counts, which the first event of a stream names."""

    def __init__(self, *, first: bool) -> None:
        self.over = False
        self._first = first
        self._data = b""
        self._known: set[str] = set()

    def feed(self, data: bytes) -> list[str]:
        """Return the ids that were not there before."""
        if self.over or not data:
            return []
        self._data += data[: _READ_BYTES - len(self._data)]
        ids = [each for each in ids_in_answer(self._data, first=self._first) if each not in self._known]
        self._known.update(ids)
        ended = self._first and self._known and (b"\n\n" in self._data or len(self._data) > _HEAD_BYTES)
        self.over = bool(ended) or len(self._data) >= _READ_BYTES
        return ids


def _maker_of(call: Call) -> str:
    """Return the provider of a call, with the mark of its credential where it has several."""
    if call.summary is not None:
        return STORED_HERE
    name = call.target.provider.name
    return f"{name} {call.credential}" if call.credential else name


def affinity_key(identity: str, name: str) -> str:
    """Return the key in the store: ids are words of others, of any form."""
    return hashlib.sha256(f"{identity}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:48]
