"""Makes a slow or dead store cheap: every operation ends in time (50 ms), with a result or a StoreFault.

A store that failed is not used; a task of the guard tries it again, first after a second, then after twice that, at
last every half minute. So no request has to find out whether it works again, and connecting, which takes longer than
any operation, has the time that it needs. Begin reading at `Guard.run`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from llmproxy.fault_log import FaultLog
from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.facet import Facet, StoreFault, StoreRefusal
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import (
    RecentSession,
    Session,
    SessionCounts,
    SessionOutcome,
    SessionStore,
    Visit,
    VisitResult,
)

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Facet)
T = TypeVar("T")

TIMEOUT_S = 0.05
RESPONSE_TIMEOUT_S = 1.0
LONG_TIMEOUT_S = 5.0  # for operations that walk over everything, and for connecting
_START_S = 1.0  # how long a start waits for a store at most
FIRST_REST_S = 1.0
_LONGEST_REST_S = 30.0
_BYTES_PER_SECOND = 16 << 20  # of large values: writing them may take longer
_LAST_TURNS = 8  # of the loop, a moment when it has nothing else to do
_PROBE = "probe"  # a key that nobody sets


class StoreLog:
    """Hold what is logged of one store, however many of its facets find it out."""

    def __init__(self) -> None:
        self.failures, self.refusals = FaultLog(log), FaultLog(log)


class Guard:
    """Decides whether a store is used. `probe` is a small operation on it; `name` is its name in log lines."""

    def __init__(self, name: str, probe: Callable[[], Awaitable[object]], timeout_s: float, rest_s: float) -> None:
        self.available = True
        self.faults = 0
        self.timeout_s = timeout_s
        self._name = name
        self._probe = probe
        self._rest_s = rest_s
        self.fault: str | None = None
        self.log = StoreLog()
        self._broken = asyncio.Event()
        self._healer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Try the store for the first time; when it does not answer it is tried again later."""
        try:
            async with asyncio.timeout(_START_S):
                await self._probe()
        except (StoreFault, TimeoutError) as fault:
            self._break(fault)
        self._healer = asyncio.get_running_loop().create_task(self._heal(), name=f"heal {self._name}")

    async def close(self) -> None:
        if self._healer is None:
            return
        self._healer.cancel()
        await asyncio.wait([self._healer])

    async def run(self, operation: Callable[[], Awaitable[T]], limit_s: float) -> T:
        """Return the result of `operation`, which has `limit_s` seconds. Raises StoreFault."""
        if not self.available:
            raise StoreFault(f"{self._name} failed and is not used until it answers again")
        try:
            async with _Timeout(limit_s):
                result = await operation()
        except StoreRefusal as refusal:
            self._refuse(refusal)
            raise
        except StoreFault as fault:
            self._break(fault)
            raise
        except TimeoutError as error:
            late = StoreFault(f"no answer within {limit_s * 1000:.0f} ms")
            self._break(late)
            raise late from error
        return result

    def _refuse(self, refusal: StoreRefusal) -> None:
        self.faults += 1
        self.fault = f"refuses to store: {refusal}"
        self.log.refusals.failed(logging.WARNING, "%s refuses to store: %s", self._name, refusal)

    def accepted(self) -> None:
        """Note that the store took a value."""
        self.fault = None
        self.log.refusals.works("%s stores again", self._name)

    def _break(self, fault: BaseException) -> None:
        self.faults += 1
        self.fault = f"fails and is not used until it answers again: {fault or 'no answer'}"
        self.log.failures.failed(logging.WARNING, "%s %s", self._name, self.fault)
        if self.available:
            self.available = False
            self._broken.set()

    async def _heal(self) -> None:
        while await self._broken.wait():
            self._broken.clear()
            rest_s = self._rest_s
            while not self.available:
                await asyncio.sleep(rest_s)
                self.available = await self._answers()
                rest_s = min(rest_s * 2, _LONGEST_REST_S)
            self.fault = None
            self.log.failures.works("%s answers again", self._name)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(LONG_TIMEOUT_S):
                await self._probe()
        except StoreRefusal:
            return True
        except (StoreFault, TimeoutError) as fault:
            self._break(fault)
            return False
        return True


class _Timeout:
    """`asyncio.timeout` that waits longer when the loop is busy, which is not the store's fault: once more when a turn
    took too long, and at the end some turns, in which an answer that is here already is read."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._timeout = asyncio.timeout(None)
        self._handle: asyncio.Handle | None = None

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._limit_s
        self._handle = loop.call_at(due_s, self._end, loop, due_s)

    def _end(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        if loop.time() - due_s > self._limit_s / 5:
            self._timeout.reschedule(loop.time() + self._limit_s)
        else:
            self._last_turns(loop, _LAST_TURNS)

    def _last_turns(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        if turns:
            self._handle = loop.call_soon(self._last_turns, loop, turns - 1)
        else:
            self._timeout.reschedule(loop.time())

    async def __aexit__(self, *raised: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
        await self._timeout.__aexit__(*raised)  # type: ignore[arg-type]  # the three of every context manager


class GuardedFacet(Facet, Generic[F]):
    """A facet behind a guard: `inner`, which is started and closed with it. `probe` is a small operation on it,
    `timeout_s` bounds each of its operations unless its class says otherwise."""

    def __init__(
        self,
        inner: F,
        name: str,
        probe: Callable[[], Awaitable[object]],
        timeout_s: float = TIMEOUT_S,
        first_rest_s: float = FIRST_REST_S,
    ) -> None:
        self._inner = inner
        self._guard = Guard(name, probe, timeout_s, first_rest_s)

    def share_log(self, log: StoreLog) -> None:
        """Log into `log`, as the other facets of the same store do."""
        self._guard.log = log

    @property
    def available(self) -> bool:  # type: ignore[override]  # an attribute that nobody sets
        return self._guard.available

    @property
    def fault_reason(self) -> str | None:  # type: ignore[override]  # an attribute that nobody sets
        return self._guard.fault

    @property
    def faults(self) -> int:
        """Return how many operations failed; those that were not even tried do not count."""
        return self._guard.faults

    async def start(self) -> None:
        await self._inner.start()
        await self._guard.start()

    async def close(self) -> None:
        await self._guard.close()
        await self._inner.close()


class GuardedBlobs(GuardedFacet[BlobStore], BlobStore):
    """Values behind a guard. `timeout_s` bounds every operation but `clear` and `size`."""

    def __init__(
        self, inner: BlobStore, name: str, timeout_s: float = TIMEOUT_S, first_rest_s: float = FIRST_REST_S
    ) -> None:
        super().__init__(inner, name, lambda: inner.get(_PROBE), timeout_s, first_rest_s)

    async def get(self, key: str) -> bytes | None:
        return await self._guard.run(lambda: self._inner.get(key), self._guard.timeout_s)

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        limit_s = self._guard.timeout_s + len(value) / _BYTES_PER_SECOND
        await self._guard.run(lambda: self._inner.set(key, value, ttl_s), limit_s)
        self._guard.accepted()

    async def delete(self, key: str) -> bool:
        return await self._guard.run(lambda: self._inner.delete(key), self._guard.timeout_s)

    async def clear(self, prefix: str = "") -> int:
        return await self._guard.run(lambda: self._inner.clear(prefix), LONG_TIMEOUT_S)

    async def size(self) -> StoreSize:
        return await self._guard.run(self._inner.size, LONG_TIMEOUT_S)


class GuardedResponses(GuardedBlobs, ResponseStore):
    """The same for what the Responses API stores. Some requests cannot be answered without it, so it has more time."""

    def __init__(
        self,
        inner: ResponseStore,
        name: str,
        timeout_s: float = RESPONSE_TIMEOUT_S,
        first_rest_s: float = FIRST_REST_S,
    ) -> None:
        super().__init__(inner, name, timeout_s, first_rest_s)
        self._responses = inner

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._guard.run(lambda: self._responses.get_many(keys), self._guard.timeout_s)

    async def replace(self, key: str, before: bytes, value: bytes, ttl_s: float) -> bool:
        limit_s = self._guard.timeout_s + len(value) / _BYTES_PER_SECOND
        return await self._guard.run(lambda: self._responses.replace(key, before, value, ttl_s), limit_s)


class GuardedSessions(GuardedFacet[SessionStore], SessionStore):
    """Sessions behind a guard. `timeout_s` bounds every operation but `sessions` and `counts`."""

    def __init__(
        self, inner: SessionStore, name: str, timeout_s: float = TIMEOUT_S, first_rest_s: float = FIRST_REST_S
    ) -> None:
        super().__init__(inner, name, lambda: inner.session(_PROBE), timeout_s, first_rest_s)

    async def touch(self, visit: Visit) -> VisitResult | None:
        touched = await self._guard.run(lambda: self._inner.touch(visit), self._guard.timeout_s)
        self._guard.accepted()
        return touched

    async def recent(self, tenant: str) -> Sequence[RecentSession]:
        return await self._guard.run(lambda: self._inner.recent(tenant), self._guard.timeout_s)

    def settle(self, outcome: SessionOutcome) -> None:
        if self._guard.available:
            self._inner.settle(outcome)

    async def session(self, name: str) -> Session | None:
        return await self._guard.run(lambda: self._inner.session(name), self._guard.timeout_s)

    async def sessions(self, limit: int) -> Sequence[Session]:
        return await self._guard.run(lambda: self._inner.sessions(limit), LONG_TIMEOUT_S)

    async def counts(self) -> SessionCounts:
        return await self._guard.run(self._inner.counts, LONG_TIMEOUT_S)
