"""Turn a finished call into a cache entry, and an entry into an answer: the same bytes, or the other form (plain or
stream), at once or at the original pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llmproxy.answer import Answer, Headers
from llmproxy.caching.entry import CacheEntry
from llmproxy.caching.single_flight import SharedCall
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.reshape import Reshape
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.wire.compression import decompress
from llmproxy.wire.framing import Framing

_STORED_HEADERS = ("content-type", "cache-control", "x-llmproxy-dropped")


def entry_from_call(
    shared: SharedCall, exchange: Exchange, reshape: Reshape, *, counted: bool, limit_bytes: int
) -> CacheEntry | None:
    """Build the entry of a complete answer. Return None for an empty or unreadable one."""
    answer = shared.answer
    if answer is None:
        return None
    body = b"".join(shared.parts)
    encoding = answer.headers.get("Content-Encoding", "")
    if encoding:
        try:
            body = decompress(body, encoding, limit_bytes)
        except BadRequest:
            return None
    stream = answer.framing is not None
    if not (_is_complete(exchange, reshape, body) if stream else reshape.says_something(body)):
        return None
    usage, times_s = exchange.summary.usage, shared.times_s
    first_s = times_s[0]
    paces = [(round((at_s - first_s) * 1000), len(part)) for at_s, part in zip(times_s, shared.parts, strict=True)]
    return CacheEntry(
        status=answer.status,
        headers=[(str(name), value) for name, value in answer.headers.items() if name.lower() in _STORED_HEADERS],
        stream=stream,
        counted=counted,
        created_s=shared.exchange.began_s,
        spent_s=times_s[-1] - shared.exchange.started_s,
        input_tokens=usage.input if usage else None,
        output_tokens=usage.output if usage else None,
        paces=paces if stream and not encoding else [],
        body=body,
        cost_usd=exchange.call.cost_usd if exchange.call is not None else None,
    )


def _is_complete(exchange: Exchange, reshape: Reshape, stream: bytes) -> bool:
    return exchange.first_token_s is not None and reshape.is_whole(stream)


def fits(entry: CacheEntry, stream: bool, counted: bool, framing: Framing | None = None) -> bool:
    """Return whether the entry has the requested form; a stream in `framing`, where its dialect has more than one.
    Reshaping takes 25 ms for each MB."""
    if not stream or not entry.stream:
        return entry.stream == stream
    named = framing is None or Headers(entry.headers).get("Content-Type", "").startswith(framing.media_type)
    return named and entry.counted == counted


def answer_from_entry(
    entry: CacheEntry, dialect: Dialect, stream: bool, counted: bool, preferred: Framing | None = None
) -> Answer | None:
    """Turn the entry into the answer to a request: a `stream` or not, with usage (`counted`) or not. Return None when
    it cannot be reshaped. A stream comes in the `preferred` framing, or in the one that the dialect writes.
    """
    headers = Headers(entry.headers)
    for framing in (preferred, dialect.framing) if preferred is not None else (None,):
        if fits(entry, stream, counted, framing):
            return _unchanged(entry, headers, (framing or dialect.framing) if stream else None)
    reshape = dialect.reshape
    reply: bytes | None = entry.body
    if entry.stream:
        reply = reshape.reply_of(entry.body)
    if reply is not None and stream:
        reply = reshape.stream_of(reply, usage=counted)
    if reply is None:
        return None
    headers["Content-Type"] = dialect.framing.content_type if stream else "application/json"
    return Answer(
        status=entry.status,
        headers=headers,
        body=reply,
        length=len(reply),
        framing=dialect.framing if stream else None,
    )


def _unchanged(entry: CacheEntry, headers: Headers, framing: Framing | None) -> Answer:
    return Answer(status=entry.status, headers=headers, body=entry.body, length=len(entry.body), framing=framing)


class PacedStream:
    """A ByteStream that repeats a stream at its original pace."""

    def __init__(self, body: bytes, paces: Sequence[tuple[int, int]]) -> None:
        self._body = body
        self._paces = iter(paces)
        self._position = 0
        self._began_s: float | None = None

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        at_ms, size = next(self._paces, (0, len(self._body) - self._position))
        due_s = self._began_s + at_ms / 1000 - loop.time()
        if due_s > 0:
            await asyncio.sleep(due_s)
        data = self._body[self._position : self._position + size]
        self._position += size
        return data

    def close(self) -> None:
        """Do nothing: no resource is open."""
