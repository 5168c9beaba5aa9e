"""Single flight: one upstream call for identical requests at the same time, with several readers.

The call is a task of the cache, so that it outlives the first client. Its answer has no task: the reader that needs the
next bytes reads them for all. So a slow reader delays no other, a single one costs only a list, and when one leaves
another continues. Parts stay in memory while they may be stored, or a reader needs them. Begin reading at `SharedCall`.
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
BEHIND_BYTES = 1024 * 1024  # limit between the slowest and fastest reader of an answer too long to store


class SharedCall:
    """A running call, made for the view `exchange` of the first exchange.

    `max_bytes` is the largest answer to store. `forget` is called when no request can join any more: the call failed,
    the answer is too long or broken, or it has no reader. `whole` means that all of it has arrived.
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
        self._joining = 0
        self._failed = False

    @property
    def storable(self) -> bool:
        """Return whether every part of the answer so far is in memory."""
        return self._dropped == 0

    async def join(self, call: asyncio.Task[Answer], exchange: Exchange) -> Answer | None:
        """Return the answer of `call` for one more client, or None when it is an error that another client has got.

        An error of the call is raised for one client only, but a timeout of the provider for all that waited.
        """
        self._joining += 1
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
            self._joining -= 1
            if not self._joining and not self._readers:
                self._abandon(call)

    def _hand_over(self, answer: Answer, exchange: Exchange) -> Answer | None:
        """Return an error answer, for one client only."""
        self._forget()
        if self._failed:
            return None
        exchange.hold(self.exchange.held_bytes)
        self._failed = True
        return answer

    def _abandon(self, call: asyncio.Task[Answer]) -> None:
        """End the call when no client is left, and close an answer that came too late."""
        if not call.done():
            call.cancel()
        elif not call.cancelled() and call.exception() is None and self.answer is None and not self._failed:
            call.result().close()
        self.abort()

    def _share(self, answer: Answer, exchange: Exchange) -> Answer:
        """Return the answer for one client, with its own reader."""
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
            summary=answer.summary,
        )
        if not self.whole:
            reader = SharedReader(self, len(self.parts))
            self._readers.append(reader)
            shared.stream = reader
        return shared

    async def next(self, reader: SharedReader) -> bytes:
        """Return the next bytes for `reader`; b"" after the last."""
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
            raise BrokenStream("Several clients share this answer, and this one reads too slowly")
        parts = self.parts[reader.place - self._dropped :]
        reader.place += len(parts)
        if self.size_bytes > self._max_bytes and not self._joining:
            self._drop()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _pull(self) -> None:
        """Read the next part for all readers. After a cancellation nothing is read, and another reader takes over."""
        assert self._source is not None
        self._pulling = True
        fault: ProxyError | None = BrokenStream("The answer ended too early")
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
            if (
                fault is not None
            ):  # also an unexpected error: it goes to the current reader; the streams of the others break
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
            self._max_bytes = 0  # no room to store it: treated as too long
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        self.parts.append(data)
        self.times_s.append(time.monotonic())
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            self._forget()

    def _drop(self) -> None:
        """Drop parts of an answer that is too long to store: those that all readers have, or beyond the limit."""
        end = self._dropped + len(self.parts)
        needed = min((each.place for each in self._readers if each.place >= self._dropped), default=end) - self._dropped
        behind_bytes = sum(map(len, self.parts[needed:]))
        while behind_bytes > BEHIND_BYTES and needed < len(self.parts) - 1:
            behind_bytes -= len(self.parts[needed])
            needed += 1
        self._dropped += needed
        del self.parts[:needed]
        self.times_s.clear()
        self.exchange.release_all()

    def _end(self, fault: Exception | None) -> None:
        self._over = True
        self._fault = fault
        self.whole = fault is None and self.size_bytes <= self._max_bytes and self.storable
        if not self.whole:
            self._forget()

    def leave(self, reader: SharedReader) -> None:
        """Remove a reader. The last one ends the call."""
        self._readers.remove(reader)
        if not self._readers and not self._joining:
            self.abort()

    def abort(self) -> None:
        """End the call and close its answer."""
        self._forget()
        self._forget = _nothing  # it refers to this call
        if self._source is not None:
            self._source.close()
        self._over = True
        self.exchange.release_all()


def _nothing() -> None:
    return


class SharedReader:
    """The ByteStream of one client. `place` is the number of parts that it has read."""

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
