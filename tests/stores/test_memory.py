"""What the stores in memory cost. What they do is in `test_blobs` and `test_sessions`."""

from __future__ import annotations

import gc
import hashlib
import os
import time
import tracemalloc

from llmproxy.stores.base import StoreConfig
from llmproxy.stores.memory import MemoryBlobs, MemorySessions, MemoryStore
from llmproxy.stores.sessions import Visit

_ENTRIES = 100_000


def _key(number: int) -> str:
    return "chat:" + hashlib.sha256(str(number).encode()).hexdigest()


async def test_a_hundred_thousand_entries_take_what_the_limit_says() -> None:
    limit = 130_000_000
    blobs = MemoryBlobs(limit)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(_ENTRIES):
            await blobs.set(_key(number), os.urandom(1024), 3600.0 + number)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = await blobs.size()
    assert size.entries is not None and size.bytes is not None
    assert 90_000 < size.entries < _ENTRIES
    assert limit * 0.99 < size.bytes <= limit
    assert 0.9 * limit <= taken <= 1.1 * limit


async def test_sessions_that_end_leave_nothing() -> None:
    state = MemorySessions(100, 3600.0)
    for number in range(1000):
        visit = Visit(
            tenant=f"tenant {number}",
            client="",
            keys=(),
            learn=(f"a{number}", f"b{number}"),
            session=f"s{number}",
            now_s=0,
        )
        await state.touch(visit)
    assert (len(state._live), len(state._known), len(state._tenants)) == (100, 200, 100)


async def test_sessions_that_are_over_all_at_once_end_a_few_at_a_time_and_are_seen_no_more() -> None:
    now_s = 1000.0
    state = MemorySessions(1000, 60.0, lambda: now_s)

    def visit(name: str) -> Visit:
        return Visit(tenant="t", client="c", keys=[name], learn=[name], session=name, now_s=now_s)

    for number in range(500):
        await state.touch(visit(f"s{number}"))
    now_s += 61
    touched = await state.touch(visit("s7"))
    assert touched is not None and touched.created, "one that is over is begun again"
    assert len(state._live) > 400, "most of them are still to be ended"
    assert [each.id for each in await state.sessions(1000)] == ["s7"]
    assert await state.session("s8") is None
    assert [each.session for each in await state.recent("t")] == ["s7"]
    figures = await state.counts()
    assert (figures.active, figures.expired, figures.evicted) == (1, 500, 0)
    for number in range(20):
        await state.touch(visit(f"n{number}"))
    assert len(state._live) == 21


async def test_users_with_other_bounds_see_the_same_data() -> None:
    store = MemoryStore(StoreConfig(type="memory"))
    large, small = store.sessions(1000, 3600.0), store.sessions(100, 3600.0)
    for number in range(200):
        await large.touch(
            Visit(tenant="t", client="c", keys=(), learn=(f"k{number}",), session=f"s{number}", now_s=time.time())
        )
    assert (await small.counts()).active == 200
    for number in range(5):
        await small.touch(Visit(tenant="t", client="c", keys=(), learn=(), session=f"new{number}", now_s=time.time()))
    assert (await large.counts()).active == 100, "each visit removes some of those beyond its bound"
    assert (await large.counts()).evicted == 105

    await store.blobs(1 << 20).set("k", b"x" * 1000, 60.0)
    await store.blobs(1000).set("l", b"x", 60.0)
    assert await store.blobs(1 << 20).get("k") is None and await store.blobs(1 << 20).get("l") == b"x"
