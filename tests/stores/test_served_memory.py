"""The memory store of a worker: what its parent holds, what stays, and what happens without the parent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory import MemoryBlobs, MemoryStore
from llmproxy.stores.open_stores import StorePool, Stores
from llmproxy.stores.quotas import Quota
from llmproxy.stores.served_memory import ServedMemory
from llmproxy.stores.sessions import SessionOutcome
from tests.support.served_stores import Parent

MINUTE = Quota(key="minute", kind="window", limit=100, per_s=60)
PLACES = Quota(key="places", kind="running", limit=5)


@pytest.fixture
async def parent() -> AsyncIterator[Parent]:
    parent = Parent()
    yield parent
    await parent.close()


async def test_a_limit_is_the_limit_whichever_worker_counts(parent: Parent) -> None:
    workers = [(await parent.store()).quotas(10) for _ in range(3)]
    for worker in workers:
        await worker.start()
    taken = await asyncio.gather(*(workers[number % 3].take([MINUTE], [1]) for number in range(300)))
    assert sum(each.refused < 0 for each in taken) == 100


async def test_values_stay_in_the_worker(parent: Parent) -> None:
    one, other = await parent.store(), await parent.store()
    assert isinstance(one.blobs(1 << 20), MemoryBlobs)
    await one.blobs(1 << 20).set("k", b"x", 60.0)
    assert await one.blobs(2 << 20).get("k") == b"x" and await other.blobs(1 << 20).get("k") is None


async def test_what_was_taken_for_a_request_that_left_is_given_back(parent: Parent) -> None:
    quotas = (await parent.store()).quotas(10)
    await quotas.start()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await quotas.take([MINUTE, PLACES], [1, 1])
    await quotas.take([PLACES], [0])  # the answers to those before are here
    assert (await quotas.take([MINUTE, PLACES], [0, 0])).used == [0, 0]


async def test_all_operations_fail_at_once_when_the_parent_is_gone(parent: Parent) -> None:
    store = await parent.store()
    quotas, sessions = store.quotas(10), store.sessions(10, 60.0)
    await quotas.start()
    await sessions.start()
    assert quotas.available and quotas.fault_reason is None
    await parent.close()
    assert not quotas.available and quotas.fault_reason == "the parent process is gone"
    with pytest.raises(StoreFault):
        await quotas.take([MINUTE], [1])
    quotas.settle([])
    sessions.settle(SessionOutcome(session="s", tenant="t"))
    await sessions.start()
    await sessions.close()


async def test_a_pool_with_a_parent_has_its_memory_stores_there(parent: Parent) -> None:
    pools = [StorePool(await parent.link()) for _ in range(2)]
    first, second = (Stores(pool) for pool in pools)
    assert first.open().type == "memory" and first.open().shared and not Stores().open().shared
    facets = [stores.open().affinity(1 << 20) for stores in (first, second)]
    await first.start()
    await second.start()
    await facets[0].set("k", b"x", 60.0)
    reloaded = Stores(pools[0])
    assert reloaded.open().affinity(1 << 20) is facets[0]
    await reloaded.start()
    await first.close()
    assert await facets[1].get("k") == b"x"
    assert await facets[0].get("k") == b"x"
    await reloaded.close()
    await second.close()


async def test_a_store_of_someone_is_the_workers_own(parent: Parent) -> None:
    class OwnMemory(MemoryStore):
        """A subclass, which the parent does not know."""

    pool = StorePool(await parent.link())
    assert not pool.open(OwnMemory, OwnMemory.Config(type="own")).shared
    assert pool.open(MemoryStore, MemoryStore.Config(type="memory")).shared


def test_it_needs_no_guard() -> None:
    assert not ServedMemory.guarded and ServedMemory.shared
