"""One upstream call with several readers: identical requests that are asked at the same time.

The call itself is a task of the cache's, so that it outlives whoever asked first. Its answer has no task: the reader
that needs the next bytes reads them for all, and the others find them; so a slow one holds up nobody, one alone pays
for a list, and when one leaves another reads on. Parts are kept while they may be stored, or somebody still needs them.
Begin reading at `SharedCall`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from llmproxy.answer import Answer, Headers
from llmproxy.body import ByteStream
from llmproxy.errors import BrokenStream, Overloaded, ProxyError
from llmproxy.exchange import Exchange

TIMEOUT = 504
BEHIND_BYTES = 1024 * 1024  # how far a reader may be behind the others in an answer too long to be kept


class SharedCall:
    """A call under way, made for the view `exchange` of the exchange that asked first.

    `max_bytes` is how much may be stored. `forget` is called when nobody can join any more: once there is no answer, or
    it is too long or broken, or nobody reads it. `whole` says that all of it is here.
    """

    def __init__(self, exchange: Exchange, max_bytes: int, forget: Callable[[], None]) -> None:
        self.exchange = exchange
        self.parts: list[bytes] = []
        self.times_s: list[float] = []
        self.size_bytes = 0
        self.answer: Answer | None = None
        self.whole = False
        self.stored = False
        self._forget = forget
        self._max_bytes = max_bytes
        self._source: ByteStream | None = None
        self._fault: Exception | None = None
        self._over = False
        self._dropped = 0
        self._pulling = False
        self._waiting: list[asyncio.Future[None]] = []
        self._readers: list[SharedReader] = []
        self._asking = 0
        self._failed = False

    @property
    def storable(self) -> bool:
        """Whether all of the answer so far is here."""
        return self._dropped == 0

    async def join(self, call: asyncio.Task[Answer], exchange: Exchange) -> Answer | None:
        """The answer of `call` for one more client; None when it is no good one, and another has it already.

        Raises what the call raises, to one client only; that the provider took too long, to all who waited as long.
        """
        self._asking += 1
        try:
            try:
                answer = await asyncio.shield(call)
            except ProxyError as error:
                self._forget()
                if self._failed and error.status != TIMEOUT:
                    return None
                self._failed = True
                raise
            if not 200 <= answer.status < 300:
                return self._hand_over(answer, exchange)
            return self._share(answer, exchange)
        finally:
            self._asking -= 1
            if not self._asking and not self._readers:
                self._abandon(call)

    def _hand_over(self, answer: Answer, exchange: Exchange) -> Answer | None:
        """An error is for one client alone."""
        self._forget()
        if self._failed:
            return None
        exchange.hold(self.exchange.held_bytes)
        self._failed = True
        return answer

    def _abandon(self, call: asyncio.Task[Answer]) -> None:
        """Nobody is left: end the call, and close an answer that came too late for anybody."""
        if not call.done():
            call.cancel()
        elif not call.cancelled() and call.exception() is None and self.answer is None and not self._failed:
            call.result().close()
        self.abort()

    def _share(self, answer: Answer, exchange: Exchange) -> Answer:
        """The answer as one client gets it."""
        if self.answer is None:
            self.answer = answer
            self._source = answer.stream
            if answer.body:
                self._keep(answer.body)
            if answer.stream is None:
                self._end(None)
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        exchange.hold(len(body))
        shared = Answer(
            status=answer.status,
            headers=Headers(answer.headers),
            body=body,
            length=answer.length,
            reason=answer.reason,
            bodiless=answer.bodiless,
            framing=answer.framing,
        )
        if not self.whole:
            reader = SharedReader(self, len(self.parts))
            self._readers.append(reader)
            shared.stream = reader
        return shared

    async def next(self, reader: SharedReader) -> bytes:
        """What comes next for `reader`; b"" after the last."""
        while reader.place == self._dropped + len(self.parts):
            if self._over:
                if self._fault is not None:
                    raise self._fault
                return b""
            if self._pulling:
                waiting = asyncio.get_running_loop().create_future()
                self._waiting.append(waiting)
                await waiting
            else:
                await self._pull()
        if reader.place < self._dropped:
            raise BrokenStream("This answer is read by several clients, and this one fell too far behind")
        parts = self.parts[reader.place - self._dropped :]
        reader.place += len(parts)
        if self.size_bytes > self._max_bytes and not self._asking:
            self._drop()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _pull(self) -> None:
        """Read the next part for everybody. Cancelled, it is another's turn: nothing was read then."""
        assert self._source is not None
        self._pulling = True
        fault: ProxyError | None = BrokenStream("The answer broke off")
        try:
            data = await self._source.read()
            fault = None
            if data:
                self._add(data)
            else:
                self._end(None)
        except asyncio.CancelledError:
            fault = None
            raise
        except ProxyError as error:
            fault = error
        finally:
            if fault is not None:  # what nobody foresaw too: it goes to whoever was reading, and the others break off
                self._end(fault)
            self._pulling = False
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def _add(self, data: bytes) -> None:
        try:
            self.exchange.hold(len(data))
        except Overloaded:
            self._max_bytes = 0  # no room to keep it: passed on as one that is too long
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        self.parts.append(data)
        self.times_s.append(time.monotonic())
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            self._forget()

    def _drop(self) -> None:
        """The answer is too long to be kept: parts that all have read go, and those who lag too far behind are lost."""
        end = self._dropped + len(self.parts)
        needed = min((each.place for each in self._readers if each.place >= self._dropped), default=end) - self._dropped
        behind_bytes = sum(map(len, self.parts[needed:]))
        while behind_bytes > BEHIND_BYTES and needed < len(self.parts) - 1:
            behind_bytes -= len(self.parts[needed])
            needed += 1
        self._dropped += needed
        del self.parts[:needed]
        self.times_s.clear()
        self.exchange.let_go()

    def _end(self, fault: Exception | None) -> None:
        self._over = True
        self._fault = fault
        self.whole = fault is None and self.size_bytes <= self._max_bytes and self.storable
        if not self.whole:
            self._forget()

    def leave(self, reader: SharedReader) -> None:
        """A client is done, or gone. With the last one the call ends."""
        self._readers.remove(reader)
        if not self._readers and not self._asking:
            self.abort()

    def abort(self) -> None:
        """Nobody reads any more."""
        self._forget()
        if self._source is not None:
            self._source.close()
        self._over = True
        self.exchange.let_go()


class SharedReader:
    """One client's way through the answer: a ByteStream. `place` is the number of parts that it has."""

    __slots__ = ("_gone", "_shared", "place")

    def __init__(self, shared: SharedCall, place: int) -> None:
        self._shared = shared
        self._gone = False
        self.place = place

    async def read(self) -> bytes:
        return await self._shared.next(self)

    def close(self) -> None:
        if not self._gone:
            self._gone = True
            self._shared.leave(self)
