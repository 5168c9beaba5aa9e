"""How stores are found by name, shared, and kept over a reload."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmproxy.stores.base import StoreConfig
from llmproxy.stores.disk import DiskStore
from llmproxy.stores.guard import GuardedBlobs, GuardedResponses, GuardedSessions
from llmproxy.stores.memory import MemoryBlobs, MemoryStore
from llmproxy.stores.open_stores import StorePool, Stores
from llmproxy.stores.redis import RedisStore

MEMORY = MemoryStore, MemoryStore.Config(type="memory")


def disk(path: Path) -> tuple[type[DiskStore], DiskStore.Config]:
    return DiskStore, DiskStore.Config(type="disk", path=str(path))


def test_the_default_is_in_memory_and_needs_no_guard() -> None:
    store = Stores().open()
    assert store.type == "memory" and isinstance(store.blobs(1000), MemoryBlobs)


async def test_a_store_that_may_fail_has_its_facets_behind_guards(tmp_path: Path) -> None:
    stores = Stores(configured={"file": disk(tmp_path / "x.sqlite")})
    store = stores.open("file")
    blobs, sessions, responses = store.blobs(1000), store.sessions(10, 60.0), store.responses(1000)
    assert isinstance(blobs, GuardedBlobs) and isinstance(sessions, GuardedSessions)
    assert isinstance(responses, GuardedResponses)
    await stores.start()
    await blobs.set("k", b"x", 60.0)
    await responses.set("k", b"y", 60.0)
    assert await responses.get_many(["k"]) == [b"y"] and await responses.replace("k", b"y", b"z", 60.0)
    assert (await blobs.get("k"), await sessions.recent("t")) == (b"x", [])
    await stores.close()


def test_a_name_that_is_not_configured_is_an_error() -> None:
    with pytest.raises(KeyError):
        Stores().open("nobody")


async def test_those_who_name_one_store_share_what_it_holds_whatever_their_bounds() -> None:
    stores = Stores(
        configured={"one": MEMORY, "other": (MemoryStore, MemoryStore.Config(type="memory", namespace="other"))}
    )
    await stores.open("one").blobs(10_000).set("k", b"x", 60.0)
    assert await stores.open("default").blobs(20_000).get("k") == b"x", "its settings are the same"
    assert await stores.open("other").blobs(10_000).get("k") is None


async def test_a_store_lives_as_long_as_a_configuration_uses_it() -> None:
    pool = StorePool()
    old = Stores(pool)
    await old.open().blobs(1000).set("k", b"x", 60.0)
    await old.start()
    new = Stores(pool)
    blobs = new.open().blobs(2000)
    await new.start()
    await old.close()
    assert await blobs.get("k") == b"x"
    await new.close()
    assert await Stores(pool).open().blobs(1000).get("k") is None


async def test_a_facet_that_a_later_configuration_adds_is_started(tmp_path: Path) -> None:
    pool, configured = StorePool(), {"file": disk(tmp_path / "x.sqlite")}
    old, new = Stores(pool, configured), Stores(pool, configured)
    old.open("file").blobs(1000)
    await old.start()
    sessions = new.open("file").sessions(10, 60.0)
    await new.start()
    assert sessions.available and await sessions.session("s") is None
    await old.close()
    await new.close()


def test_a_store_that_nobody_configured_is_not_imported() -> None:
    program = """
import sys
from llmproxy.stores.open_stores import Stores
Stores().open().blobs(1000)
assert not {"redis", "sqlite3", "llmproxy.stores.disk", "llmproxy.stores.redis"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


class Listing(StoreConfig):
    """Settings that cannot be hashed."""

    names: list[str]


def test_stores_are_told_apart_by_settings_of_any_kind() -> None:
    pool = StorePool()
    first = pool.open(MemoryStore, Listing(type="x", names=["a"]))
    assert pool.open(MemoryStore, Listing(type="x", names=["a"])) is first
    assert pool.open(MemoryStore, Listing(type="x", names=["b"])) is not first


async def test_a_store_that_fails_is_logged_once_for_all_its_facets(caplog: pytest.LogCaptureFixture) -> None:
    config = RedisStore.Config(type="redis", url="redis://127.0.0.1:1/0")
    stores = Stores(configured={"shared": (RedisStore, config)})
    store = stores.open("shared")
    store.blobs(1000), store.quotas(10), store.breakers(), store.affinity(1000)
    await stores.start()
    await stores.close()
    assert len([each for each in caplog.records if "is not used until it answers again" in each.message]) == 1
