"""What every store of values does, whichever it is."""

from __future__ import annotations

import asyncio
import os

import pytest

from llmproxy.stores.blobs import BlobStore
from tests.stores.conftest import MakeBlobs
from tests.support.waiting import PATIENCE_S


async def gone(blobs: BlobStore, key: str) -> None:
    """Wait until `key` is over."""
    async with asyncio.timeout(PATIENCE_S):
        while await blobs.get(key) is not None:
            pass


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 70_000, 16 << 20])
async def test_a_value_comes_back_as_it_was_whatever_its_size(make_blobs: MakeBlobs, size: int) -> None:
    blobs = await make_blobs()
    value = os.urandom(size // 2) + b"a" * (size - size // 2)
    await blobs.set("chat:1", value, 60.0)
    assert await blobs.get("chat:1") == value
    assert await blobs.get("chat:2") is None
    assert blobs.available


async def test_the_last_value_set_counts(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    await blobs.set("k", b"first, the longer one", 60.0)
    await blobs.set("k", b"second", 60.0)
    assert await blobs.get("k") == b"second"


async def test_a_value_is_gone_when_its_time_is_over(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    await blobs.set("short", b"x", 0.02)
    await blobs.set("renewed", b"x", 0.02)
    await blobs.set("renewed", b"x", 60.0)
    await blobs.set("long", b"x", 1e10)
    await gone(blobs, "short")
    assert not await blobs.delete("short")
    assert await blobs.get("renewed") == b"x"
    assert await blobs.get("long") == b"x"


async def test_what_is_over_is_not_counted_when_it_is_forgotten(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    await blobs.set("a", b"x", 0.02)
    await blobs.set("b", b"x", 0.02)
    await blobs.set("c", b"x", 60.0)
    await gone(blobs, "a")
    await gone(blobs, "b")
    assert not await blobs.delete("a")
    assert await blobs.clear() == 1


async def test_a_value_without_any_time_is_not_kept(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    await blobs.set("k", b"before", 60.0)
    await blobs.set("k", b"x", 0.0)
    assert await blobs.get("k") is None


async def test_delete_tells_whether_it_was_there(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    await blobs.set("k", b"x", 60.0)
    assert await blobs.delete("k")
    assert not await blobs.delete("k")
    assert await blobs.get("k") is None


async def test_clear_forgets_what_begins_with_the_prefix_and_nothing_else(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    prefix = "a*[b]?\\{c}^_%-"
    for key in (prefix, f"{prefix}1", f"{prefix}~", "a*", "aX[b]?\\{c}^_%-", prefix[:-1], "A*[b]?\\{c}^_%-"):
        await blobs.set(key, b"x", 60.0)
    assert await blobs.clear(prefix) == 3
    assert [await blobs.get(key) for key in (prefix, f"{prefix}1", f"{prefix}~")] == [None, None, None]
    assert await blobs.get("aX[b]?\\{c}^_%-") == b"x"
    assert await blobs.clear() == 4
    assert await blobs.clear() == 0


async def test_clear_forgets_thousands_while_others_write(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    await asyncio.gather(*(blobs.set(f"old:{number}", b"x" * 100, 60.0) for number in range(2000)))
    async with asyncio.TaskGroup() as group:
        clearing = group.create_task(blobs.clear("old:"))
        for number in range(50):
            group.create_task(blobs.set(f"new:{number}", b"y", 60.0))
    assert clearing.result() == 2000
    assert await blobs.clear("new:") == 50


async def test_the_longest_unused_goes_when_there_is_no_room(make_blobs: MakeBlobs, kind: str) -> None:
    if kind in ("redis", "cluster"):
        pytest.skip("a Redis server bounds itself")
    blobs = await make_blobs(10_000)
    for key in "abc":
        await blobs.set(key, b"x" * 2500, 60.0)
    assert await blobs.get("a")
    await blobs.set("d", b"x" * 2500, 60.0)
    assert [await blobs.get(key) is not None for key in "abcd"] == [True, False, True, True]
    size = await blobs.size()
    assert size.entries == 3
    assert size.bytes is not None and 7500 < size.bytes <= 10_000


async def test_a_value_larger_than_the_store_is_forgotten(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs(10_000)
    await blobs.set("k", b"before", 60.0)
    await blobs.set("other", b"x", 60.0)
    await blobs.set("k", b"x" * 10_001, 60.0)
    assert await blobs.get("k") is None
    assert await blobs.get("other") == b"x"


async def test_size_tells_what_is_kept_where_that_is_cheap(make_blobs: MakeBlobs, kind: str) -> None:
    blobs = await make_blobs()
    for number in range(10):
        await blobs.set(f"k{number}", b"x" * 1000, 60.0)
    await blobs.set("k1", b"y" * 2000, 60.0)
    await blobs.delete("k0")
    size = await blobs.size()
    if kind in ("redis", "cluster"):
        assert (size.entries, size.bytes) == (None, None)
    else:
        assert size.entries == 9
        assert size.bytes is not None and 10_000 < size.bytes < 15_000


async def test_many_ask_at_the_same_time(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    keys = [f"k{number}" for number in range(300)]
    await asyncio.gather(*(blobs.set(key, key.encode() * 50, 60.0) for key in keys))
    found = await asyncio.gather(*(blobs.get(key) for key in keys))
    assert found == [key.encode() * 50 for key in keys]


async def test_who_no_longer_waits_leaves_the_store_usable(make_blobs: MakeBlobs) -> None:
    blobs = await make_blobs()
    await blobs.set("k", b"k" * 3000, 60.0)
    await blobs.set("l", b"l" * 3000, 60.0)
    for _ in range(50):
        try:
            async with asyncio.timeout(0):
                await blobs.get("k")
        except TimeoutError:
            pass
        assert await blobs.get("l") == b"l" * 3000


async def test_what_one_process_sets_another_gets(make_blobs: MakeBlobs, kind: str) -> None:
    if kind == "memory":
        pytest.skip("ends with the process")
    first, second = await make_blobs(), await make_blobs()
    await first.set("k", b"x", 60.0)
    assert await second.get("k") == b"x"
    assert await second.delete("k")
    assert await first.get("k") is None
