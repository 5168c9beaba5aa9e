"""What only the disk stores do: bounds of the file, uses noted late, values that changed on the disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.sessions import Visit
from tests.stores.conftest import Clock
from tests.stores.test_sqlite_file import size_of
from tests.support.stores import LoneDiskBlobs, LoneDiskSessions


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's view of the file."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


async def there(blobs: BlobStore, *keys: str) -> list[bool]:
    return [await blobs.get(key) is not None for key in keys]


async def test_the_file_stays_near_its_bound_over_many_times_its_size(tmp_path: Path) -> None:
    path, limit = tmp_path / "store.sqlite", 4 << 20
    blobs = LoneDiskBlobs(path, limit)
    for number in range(3000):
        await blobs.set(f"k{number}", os.urandom(10_000), 3600.0)
    size = await blobs.size()
    await blobs.close()
    assert size.bytes is not None and limit * 0.95 < size.bytes <= limit
    assert size_of(path) < limit * 2.5


async def test_a_value_that_changed_on_the_disk_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    blobs = LoneDiskBlobs(path, 1 << 20)
    for key in "abc":
        await blobs.set(key, b"value of " + key.encode(), 60.0)
    with connected(path) as connection:
        connection.execute("UPDATE blobs_values SET value = x'00' WHERE id = (SELECT id FROM blobs WHERE key = 'a')")
        connection.execute("UPDATE blobs_values SET value = 'text' WHERE id = (SELECT id FROM blobs WHERE key = 'b')")
    assert await there(blobs, "a", "b", "c") == [False, False, True]
    await blobs.close()


async def test_reading_writes_little_and_its_use_counts_all_the_same(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "store.sqlite"
    blobs = LoneDiskBlobs(path, 1 << 20, clock)
    await blobs.set("a", b"x", 3600.0)

    def version() -> int:
        with connected(path) as connection:
            return int(connection.execute("SELECT max(used) FROM blobs").fetchone()[0])

    before = await asyncio.to_thread(version)
    clock.now_s += 3
    assert await there(blobs, *["a"] * 100) == [True] * 100
    assert await asyncio.to_thread(version) == before
    clock.now_s += 3
    assert await there(blobs, "a") == [True]
    await blobs.size()
    assert await asyncio.to_thread(version) == before + 6
    await blobs.close()


async def test_uses_are_kept_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "store.sqlite"
    blobs = LoneDiskBlobs(path, 10_000, clock)
    for key in "abc":
        clock.now_s += 1
        await blobs.set(key, b"x" * 2500, 3600.0)
    clock.now_s += 1
    await blobs.get("a")
    await blobs.close()
    blobs = LoneDiskBlobs(path, 10_000, clock)
    clock.now_s += 1
    await blobs.set("d", b"x" * 2500, 3600.0)
    assert await there(blobs, "a", "b", "c", "d") == [True, False, True, True]
    await blobs.close()


async def test_a_smaller_bound_is_kept_from_the_next_write_on(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    blobs = LoneDiskBlobs(path, 1 << 20)
    for number in range(500):
        await blobs.set(f"k{number}", b"x" * 1000, 3600.0)
    await blobs.close()
    blobs = LoneDiskBlobs(path, 10_000)
    await blobs.set("new", b"x", 3600.0)
    size = await blobs.size()
    assert size.bytes is not None and size.bytes <= 10_000
    assert await there(blobs, "new", "k499", "k0") == [True, True, False]
    await blobs.close()


async def test_what_is_over_goes_with_the_writes_that_follow(tmp_path: Path, clock: Clock) -> None:
    blobs = LoneDiskBlobs(tmp_path / "store.sqlite", 1 << 20, clock)
    for number in range(100):
        await blobs.set(f"k{number}", b"x", 10.0)
    clock.now_s += 10
    for number in range(4):
        await blobs.set(f"new{number}", b"x", 10.0)
    assert (await blobs.size()).entries == 4
    await blobs.close()


async def test_values_and_sessions_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    blobs, state = LoneDiskBlobs(path, 1 << 20), LoneDiskSessions(path, 10, 60.0, lambda: 0.0)
    await asyncio.gather(*(blobs.set(f"k{number}", b"x", 60.0) for number in range(50)))
    visits = [
        Visit(tenant="t", client="c", keys=(), learn=("k",), session=f"s{number}", now_s=0.0) for number in range(50)
    ]
    await asyncio.gather(*(state.touch(visit) for visit in visits))
    assert (await blobs.size()).entries == 50
    assert (await state.counts()).active == 10
    with connected(path) as connection:
        assert connection.execute("SELECT count(*) FROM known").fetchone() == (1,)
    await blobs.close()
    await state.close()


async def test_a_store_that_is_closed_is_a_fault(tmp_path: Path) -> None:
    blobs, state = (
        LoneDiskBlobs(tmp_path / "store.sqlite", 1 << 20),
        LoneDiskSessions(tmp_path / "store.sqlite", 10, 60.0),
    )
    await blobs.close()
    await state.close()
    with pytest.raises(StoreFault):
        await blobs.get("k")
    with pytest.raises(StoreFault):
        await state.counts()
