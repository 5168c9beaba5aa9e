"""What waits to be stored: found meanwhile, bounded, and no burden to anybody when the store is gone."""

from __future__ import annotations

import asyncio
import threading

from llmproxy.caching import write_behind as saving
from llmproxy.caching.counters import CacheCounters
from llmproxy.caching.write_behind import WriteBehind
from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.facet import StoreFault
from tests.support.waiting import PATIENCE_S


class Slow(BlobStore):
    """Stores values once `gate` is open; fails while `fault` is set."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.fault = False
        self.stored_values: list[tuple[str, bytes, float]] = []

    async def get(self, key: str) -> bytes | None:
        return None

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        await self.gate.wait()
        if self.fault:
            raise StoreFault("full")
        self.stored_values.append((key, value, ttl_s))

    async def delete(self, key: str) -> bool:
        return False

    async def clear(self, prefix: str = "") -> int:
        return 0

    async def size(self) -> StoreSize:
        return StoreSize(entries=None, bytes=None)


async def write_behind_to(blobs: Slow) -> WriteBehind:
    write_behind = WriteBehind(blobs, CacheCounters())
    write_behind.start()
    return write_behind


async def test_what_waits_is_found_until_it_is_stored() -> None:
    blobs = Slow()
    write_behind = await write_behind_to(blobs)
    write_behind.save("a", b"1", 5.0)
    write_behind.save("b", b"2", 6.0)
    assert (write_behind.pending("a"), write_behind.pending("b"), write_behind.pending("c")) == (b"1", b"2", None)
    blobs.gate.set()
    await write_behind.settle()
    assert blobs.stored_values == [("a", b"1", 5.0), ("b", b"2", 6.0)]
    assert write_behind.pending("a") is write_behind.pending("b") is None
    await write_behind.close()


async def test_the_last_value_of_a_key_is_the_one_that_stays() -> None:
    blobs = Slow()
    write_behind = await write_behind_to(blobs)
    write_behind.save("a", b"old", 1.0)
    await asyncio.sleep(0)  # the store has begun
    write_behind.save("a", b"new", 2.0)
    assert write_behind.pending("a") == b"new"
    blobs.gate.set()
    await write_behind.settle()
    assert blobs.stored_values[-1] == ("a", b"new", 2.0) and write_behind.pending("a") is None
    await write_behind.close()


async def test_what_the_store_refuses_is_lost_and_the_next_is_tried() -> None:
    blobs = Slow()
    blobs.gate.set()
    blobs.fault = True
    write_behind = await write_behind_to(blobs)
    write_behind.save("a", b"1", 1.0)
    await write_behind.settle()
    assert (write_behind.lost, write_behind.pending("a")) == (1, None)
    blobs.fault = False
    write_behind.save("b", b"2", 1.0)
    await write_behind.settle()
    assert [key for key, *_ in blobs.stored_values] == ["b"]
    await write_behind.close()


async def test_what_waits_is_bounded_and_there_is_room_again() -> None:
    blobs = Slow()
    write_behind = await write_behind_to(blobs)
    big = bytes(saving.MAX_PENDING_BYTES // 2)
    for key in "abc":
        write_behind.save(key, big, 1.0)
    assert write_behind.lost == 1 and write_behind.pending("c") is None
    blobs.gate.set()
    await write_behind.settle()
    write_behind.save("c", big, 1.0)
    await write_behind.settle()
    assert [key for key, *_ in blobs.stored_values] == ["a", "b", "c"] and write_behind.lost == 1
    await write_behind.close()


async def test_on_closing_what_waits_is_stored() -> None:
    blobs = Slow()
    blobs.gate.set()
    write_behind = await write_behind_to(blobs)
    write_behind.save("a", b"1", 1.0)
    await write_behind.close()
    assert [key for key, *_ in blobs.stored_values] == ["a"]


async def test_closing_does_not_wait_for_a_store_that_hangs() -> None:
    blobs = Slow()
    write_behind = await write_behind_to(blobs)
    write_behind.save("a", b"1", 1.0)
    async with asyncio.timeout(PATIENCE_S):
        await write_behind.close()
    assert blobs.stored_values == []


async def test_who_settles_does_not_wait_for_what_comes_later() -> None:
    blobs = Slow()
    write_behind = await write_behind_to(blobs)
    await write_behind.settle()
    write_behind.save("a", b"1", 1.0)
    blobs.gate.set()
    await write_behind.settle()
    write_behind.save("b", b"2", 1.0)
    await write_behind.close()
    assert len(blobs.stored_values) == 2


async def test_what_takes_long_to_make_is_made_in_a_thread_and_may_be_nothing() -> None:
    blobs, counters = Slow(), CacheCounters()
    blobs.gate.set()
    write_behind = WriteBehind(blobs, counters)
    write_behind.start()
    threads: list[int] = []

    def make() -> bytes:
        threads.append(threading.get_ident())
        return b"made"

    write_behind.save_later("a", make, 4, 1.0)
    write_behind.save_later("b", lambda: None, 4, 1.0)
    write_behind.save("c", b"3", 2.0)
    assert write_behind.pending("a") is None and write_behind.pending("c") == b"3"
    await write_behind.settle()
    assert blobs.stored_values == [("a", b"made", 1.0), ("c", b"3", 2.0)]
    assert counters.stored == 2 and threads != [threading.get_ident()]
    await write_behind.close()
