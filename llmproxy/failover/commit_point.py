"""The commit point: hold an answer until it is certain, so that another target may still take over.

That is a plain body that is whole, or 64 KB of it; a stream with its first event, or with its first content. Nothing is
sent to the client before. Begin reading at `CommitPoint.hold`.
"""

from __future__ import annotations

from llmproxy.answer import Answer
from llmproxy.body import ByteStream
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.wire.framing import Framing, StreamBeginning

PLAIN_BYTES = 64 * 1024
EVENT_BYTES = 1024 * 1024


class CommitPoint:
    """Holds answers, counted in `budget`."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget

    async def hold(self, exchange: Exchange, answer: Answer, stream: ByteStream, *, content: bool = False) -> None:
        """Read the answer, whose rest is `stream`, up to its commit point; with `content` a stream up to its first
        content."""
        try:
            if answer.framing is None:
                await self._hold_plain(exchange, answer, stream)
            else:
                await self._hold_event(exchange, answer, stream, answer.framing)
                if content and answer.stream is not None and "Content-Encoding" not in answer.headers:
                    await self._hold_content(exchange, answer, stream)
        except BaseException:
            stream.close()
            raise

    async def _hold_plain(self, exchange: Exchange, answer: Answer, stream: ByteStream) -> None:
        while len(answer.body) < PLAIN_BYTES:
            data = await stream.read()
            if not data:
                answer.stream = None
                return
            self._budget.hold(exchange, len(data))
            answer.body += data

    async def _hold_event(self, exchange: Exchange, answer: Answer, stream: ByteStream, framing: Framing) -> None:
        """Hold a stream up to its first event. A compressed one is certain with its first bytes: it is not decoded."""
        enough = 1 if "Content-Encoding" in answer.headers else EVENT_BYTES
        if not answer.body:
            answer.body = await self._held_read(exchange, answer, stream)
        if not answer.body or len(answer.body) >= enough or framing.event_end(answer.body) >= 0:
            return  # the usual case, without the cost of the search: 2 µs
        beginning = StreamBeginning(framing)
        beginning.add(answer.body)
        while beginning.size_bytes < enough and not beginning.found:
            data = await self._held_read(exchange, answer, stream)
            if not data:
                break
            beginning.add(data)
        answer.body = beginning.read()

    async def _hold_content(self, exchange: Exchange, answer: Answer, stream: ByteStream) -> None:
        """Hold a stream up to its first content, its end, or an error in it."""
        if exchange.endpoint is None:
            return
        watch = exchange.endpoint.dialect.readers.watch()
        watch.feed(answer.body)
        held = bytearray(answer.body)
        while not (watch.started or watch.summary.error or watch.summary.complete) and len(held) < EVENT_BYTES:
            data = await self._held_read(exchange, answer, stream)
            if not data:
                break
            watch.feed(data)
            held += data
        answer.body = bytes(held)

    async def _held_read(self, exchange: Exchange, answer: Answer, stream: ByteStream) -> bytes:
        """Read on, counted as memory. After the end `answer` has no stream."""
        data = await stream.read()
        if data:
            self._budget.hold(exchange, len(data))
        else:
            answer.stream = None
        return data
