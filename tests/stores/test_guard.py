"""What is left of a store's faults behind its guard."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.facet import StoreFault, StoreRefusal
from llmproxy.stores.guard import GuardedBlobs, GuardedResponses, GuardedSessions
from llmproxy.stores.memory import MemoryBlobs, MemoryResponses
from llmproxy.stores.sessions import (
    RecentSession,
    Session,
    SessionCounts,
    SessionOutcome,
    SessionStore,
    Visit,
    VisitResult,
)
from tests.support.waiting import until_async

VISIT = Visit(tenant="t", client="c", keys=(), learn=(), session="s", now_s=0.0)


class Moody(BlobStore):
    """A store in memory that first does what its `mood` says. `asked` counts how often it was asked."""

    def __init__(self) -> None:
        self.mood: StoreFault | str = "well"
        self.asked = 0
        self.awake = asyncio.Event()
        self.closed = False
        self._inner = MemoryBlobs(1 << 20)

    async def _do(self) -> None:
        self.asked += 1
        if isinstance(self.mood, StoreFault):
            raise self.mood
        if self.mood == "asleep":
            await self.awake.wait()

    async def close(self) -> None:
        self.closed = True

    async def get(self, key: str) -> bytes | None:
        await self._do()
        return await self._inner.get(key)

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._do()
        await self._inner.set(key, value, ttl_s)

    async def delete(self, key: str) -> bool:
        await self._do()
        return await self._inner.delete(key)

    async def clear(self, prefix: str = "") -> int:
        await self._do()
        return await self._inner.clear(prefix)

    async def size(self) -> StoreSize:
        await self._do()
        return await self._inner.size()


class Sessions(SessionStore):
    """Sessions that fail as `fault` says."""

    def __init__(self) -> None:
        self.fault: StoreFault | None = None
        self.outcomes: list[SessionOutcome] = []

    def _do(self) -> None:
        if self.fault:
            raise self.fault

    async def touch(self, visit: Visit) -> VisitResult | None:
        self._do()
        return VisitResult(session="s", place=None, created=True)

    async def recent(self, tenant: str) -> Sequence[RecentSession]:
        self._do()
        return []

    def settle(self, outcome: SessionOutcome) -> None:
        self.outcomes.append(outcome)

    async def session(self, name: str) -> Session | None:
        self._do()
        return None

    async def sessions(self, limit: int) -> Sequence[Session]:
        self._do()
        return []

    async def counts(self) -> SessionCounts:
        self._do()
        return SessionCounts(active=0, expired=0, evicted=0)


@asynccontextmanager
async def guarded(inner: BlobStore, rest_s: float = 3600.0, timeout_s: float = 0.02) -> AsyncIterator[GuardedBlobs]:
    blobs = GuardedBlobs(inner, "the test's store", timeout_s, rest_s)
    await blobs.start()
    try:
        yield blobs
    finally:
        await blobs.close()


async def test_a_store_that_is_well_is_asked_and_answers() -> None:
    inner = Moody()
    async with guarded(inner, timeout_s=5.0) as blobs:
        await blobs.set("k", b"x", 60.0)
        assert await blobs.get("k") == b"x"
        assert (await blobs.size()).entries == 1
        assert await blobs.delete("k")
        assert await blobs.clear() == 0
        assert (blobs.available, blobs.faults) == (True, 0)
    assert inner.closed


async def test_a_slow_store_is_a_fault_and_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    inner = Moody()
    async with guarded(inner) as blobs:
        inner.mood = "asleep"
        with pytest.raises(StoreFault, match="no answer within 20 ms"):
            await blobs.get("k")
        asked = inner.asked
        for _ in range(10):
            with pytest.raises(StoreFault, match="is not used until"):
                await blobs.set("k", b"x", 60.0)
        assert (blobs.available, blobs.faults, inner.asked) == (False, 1, asked)
    assert [record.getMessage() for record in caplog.records] == [
        "the test's store fails and is not used until it answers again: no answer within 20 ms"
    ]


async def test_a_store_that_is_back_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "llmproxy.stores.guard")
    inner = Moody()
    async with guarded(inner, rest_s=0.001, timeout_s=5.0) as blobs:
        for why in ("gone", "gone again"):
            inner.mood = StoreFault(why)
            with pytest.raises(StoreFault, match=why):
                await blobs.get("k")
            before = inner.asked
            await until_async(lambda before=before: inner.asked > before, "the store to be tried")  # type: ignore[misc]
            assert not blobs.available
            inner.mood = "well"
            await until_async(lambda: blobs.available, "the store to be back")
            assert await blobs.get("k") is None
        assert blobs.faults >= 4
    assert [record.getMessage() for record in caplog.records] == [
        "the test's store fails and is not used until it answers again: gone",
        "the test's store answers again",
    ], "the second time within a minute is not logged"


async def test_many_faults_at_the_same_time_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    inner = Moody()
    async with guarded(inner) as blobs:
        inner.mood = "asleep"
        faults = await asyncio.gather(*(blobs.get("k") for _ in range(50)), return_exceptions=True)
        assert all(isinstance(each, StoreFault) for each in faults)
        assert blobs.faults == 50
    assert len(caplog.records) == 1


async def test_a_store_that_cannot_be_reached_at_the_start_is_no_fault_of_the_start() -> None:
    inner = Moody()
    inner.mood = StoreFault("nobody there")
    async with guarded(inner, rest_s=0.001, timeout_s=5.0) as blobs:
        assert not blobs.available
        inner.mood = "well"
        await until_async(lambda: blobs.available, "the store to be there")


async def test_a_store_that_refuses_one_thing_is_still_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "llmproxy.stores.guard")
    inner = Moody()
    async with guarded(inner, timeout_s=5.0) as blobs:
        inner.mood = StoreRefusal("the disk is full")
        for _ in range(3):
            with pytest.raises(StoreRefusal):
                await blobs.set("k", b"x", 60.0)
        inner.mood = "well"
        assert blobs.available
        assert await blobs.get("k") is None
        await blobs.set("k", b"x", 60.0)
        assert blobs.faults == 3
    assert [record.getMessage() for record in caplog.records] == [
        "the test's store refuses to store: the disk is full",
        "the test's store stores again",
    ]


async def test_what_walks_over_everything_may_take_longer_than_the_rest() -> None:
    inner = Moody()
    async with guarded(inner, timeout_s=0.01) as blobs:
        inner.mood = "asleep"
        waiting = asyncio.gather(blobs.clear(), blobs.size())
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, inner.awake.set)
        cleared, size = await waiting
        assert (cleared, size.entries, blobs.available) == (0, 0, True)


async def test_a_busy_loop_is_not_the_stores_fault() -> None:
    inner = Moody()
    async with guarded(inner, timeout_s=0.05) as blobs:
        inner.mood = "asleep"
        loop = asyncio.get_running_loop()
        loop.call_soon(time.sleep, 0.2)
        loop.call_later(0.06, inner.awake.set)
        assert await blobs.get("k") is None
        assert blobs.available


async def test_many_short_turns_of_a_busy_loop_are_not_the_stores_fault() -> None:
    class TakesTurns(MemoryBlobs):
        async def get(self, key: str) -> bytes | None:
            for _ in range(14):
                await asyncio.sleep(0)
            return b"value"

    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def busy() -> None:
        time.sleep(0.005)
        if not ended.is_set():
            loop.call_soon(busy)

    async with guarded(TakesTurns(1 << 20), timeout_s=0.05) as store:
        busy()
        try:
            assert await store.get("k") == b"value"
        finally:
            ended.set()


async def test_who_no_longer_waits_is_no_fault() -> None:
    inner = Moody()
    async with guarded(inner, timeout_s=5.0) as blobs:
        inner.mood = "asleep"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await blobs.get("k")
        assert (blobs.available, blobs.faults) == (True, 0)


class Hanging(MemoryResponses):
    """The state of the Responses API that never comes."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        await asyncio.Event().wait()
        return []

    async def replace(self, key: str, before: bytes, value: bytes, ttl_s: float) -> bool:
        raise StoreFault("gone")


async def test_responses_are_guarded_in_the_same_way() -> None:
    for many in (True, False):
        store = GuardedResponses(Hanging(1000), "the test's store", 0.01, 3600.0)
        await store.start()
        await store.set("k", b"x", 60.0)
        with pytest.raises(StoreFault):
            await (store.get_many(["k"]) if many else store.replace("k", b"x", b"y", 60.0))
        assert (store.available, store.faults) == (False, 1)
        await store.close()


async def test_sessions_are_guarded_in_the_same_way() -> None:
    inner = Sessions()
    state = GuardedSessions(inner, "the test's store", 5.0, 0.001)
    await state.start()
    outcome = SessionOutcome(session="s", tenant="t")
    assert await state.touch(VISIT) == VisitResult(session="s", place=None, created=True)
    state.settle(outcome)
    inner.fault = StoreFault("gone")
    asks = (
        lambda: state.touch(VISIT),
        lambda: state.recent("t"),
        lambda: state.session("s"),
        lambda: state.sessions(1),
        state.counts,
    )
    for ask in asks:
        with pytest.raises(StoreFault):
            await ask()
    state.settle(outcome)
    assert (state.available, inner.outcomes) == (False, [outcome])
    inner.fault = None
    await until_async(lambda: state.available, "the store to be back")
    assert state.faults >= 1
    for ask in asks:
        await ask()
    await state.close()
