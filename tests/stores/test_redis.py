"""What only the Redis stores do: how values and keys stand in the server, and a server that fails behind its guard."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmproxy.stores.base import StoreFault
from llmproxy.stores.guard import GuardedBlobs, GuardedSessions
from llmproxy.stores.redis import RedisBlobs, RedisSessions
from llmproxy.stores.redis_link import RedisLink
from llmproxy.stores.redis_url import parse
from llmproxy.stores.sessions import SessionOutcome
from tests.stores.conftest import Clock
from tests.stores.test_sessions import known, settled, visit
from tests.support.redis_server import RedisServer
from tests.support.waiting import until_async


@asynccontextmanager
async def values(server: RedisServer, namespace: str, max_bytes: int = 1 << 20) -> AsyncIterator[RedisBlobs]:
    blobs = RedisBlobs(RedisLink(parse(server.url)), namespace, max_bytes)
    await blobs.start()
    try:
        yield blobs
    finally:
        await blobs.close()


@asynccontextmanager
async def sessions(server: RedisServer, namespace: str, ttl_s: float = 100.0) -> AsyncIterator[RedisSessions]:
    state = RedisSessions(RedisLink(parse(server.url)), namespace, 3, ttl_s, Clock())
    await state.start()
    try:
        yield state
    finally:
        await state.close()


def keys_of(server: RedisServer, namespace: str) -> list[str]:
    with server.client() as client:
        return sorted(key.decode() for key in client.keys(f"*{namespace}:*"))


async def test_large_values_are_compressed_and_small_ones_are_not(redis_server: RedisServer, namespace: str) -> None:
    async with values(redis_server, namespace) as blobs:
        for size in (1024, 1025, 500_000):
            await blobs.set(f"k{size}", b"a" * size, 60.0)
        noise = os.urandom(2000)
        await blobs.set("noise", noise, 60.0)
        assert await blobs.get("noise") == noise
        lengths = [
            await asyncio.to_thread(redis_server.ask, "STRLEN", f"{namespace}:blob:{key}")
            for key in ("k1024", "k1025", "k500000", "noise")
        ]
    assert lengths[0] == 1024 + 5
    assert lengths[1] < 100
    assert lengths[2] < 1000
    assert lengths[3] == 2000 + 5, "what does not shrink stays"


def _spoil(server: RedisServer, key: str, change: Callable[[bytes], bytes]) -> None:
    server.ask("SET", key, change(server.ask("GET", key)))


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: b"",
        lambda stored: stored[:3],
        lambda stored: stored[:-1],
        lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]),
        lambda stored: b"\x09" + stored[1:],
        lambda stored: b"an older value without any head",
    ],
)
@pytest.mark.parametrize("value", [b"short", b"long" * 1000])
async def test_a_value_that_cannot_be_read_back_is_gone(
    redis_server: RedisServer, namespace: str, change: Callable[[bytes], bytes], value: bytes
) -> None:
    async with values(redis_server, namespace) as blobs:
        await blobs.set("k", value, 60.0)
        await asyncio.to_thread(_spoil, redis_server, f"{namespace}:blob:k", change)
        assert await blobs.get("k") is None


async def test_a_key_that_holds_something_else_is_no_value_and_can_be_set(
    redis_server: RedisServer, namespace: str
) -> None:
    async with values(redis_server, namespace) as blobs:
        await asyncio.to_thread(redis_server.ask, "RPUSH", f"{namespace}:blob:k", "x")
        assert await blobs.get("k") is None
        await blobs.set("k", b"x", 60.0)
        assert await blobs.get("k") == b"x"


async def test_a_value_that_grows_beyond_the_bound_is_gone(redis_server: RedisServer, namespace: str) -> None:
    async with values(redis_server, namespace) as large:
        await large.set("k", b"x" * 1_000_000, 60.0)
    async with values(redis_server, namespace, 1000) as small:
        assert await small.get("k") is None


async def test_namespaces_never_meet(redis_server: RedisServer, namespace: str) -> None:
    async with values(redis_server, namespace) as one, values(redis_server, f"{namespace}1") as two:
        await one.set("k", b"one", 60.0)
        await two.set("k", b"two", 60.0)
        assert await one.clear() == 1
        assert await two.get("k") == b"two"


async def test_everything_has_a_time_to_live_and_one_hash_tag(redis_server: RedisServer, namespace: str) -> None:
    async with values(redis_server, namespace) as blobs, sessions(redis_server, namespace) as state:
        await blobs.set("k", b"x", 60.0)
        await state.touch(visit("s", learn=["a", "b"]))
        state.settle(settled("s", model="m", sketch=b"x", learn=["c"]))
        await known(state, "s", 1)
        keys = await asyncio.to_thread(keys_of, redis_server, namespace)
        assert len(keys) == 1 + 7
        assert all(key.startswith(f"{{{namespace}:sessions}}:") for key in keys if "blob" not in key)
        for key in keys:
            left_ms = await asyncio.to_thread(redis_server.ask, "PTTL", key)
            assert 0 < left_ms <= (60_000 if "blob" in key else 200_000), key


async def test_sessions_that_end_leave_no_key(redis_server: RedisServer, namespace: str) -> None:
    async with sessions(redis_server, namespace) as state:
        for number in range(20):
            learn, tenant, now_s = [f"k{number}", "shared"], f"t{number % 4}", Clock.now_s + number
            await state.touch(visit(f"s{number}", learn=learn, tenant=tenant, now_s=now_s))
        keys = await asyncio.to_thread(keys_of, redis_server, namespace)
        assert len([key for key in keys if ":is:" in key]) == 3
        assert len([key for key in keys if ":by:" in key]) == 3
        assert len([key for key in keys if ":key:" in key]) == 6
        late = Clock.now_s + 1000
        await state.touch(visit("last", now_s=late))
        keys = await asyncio.to_thread(keys_of, redis_server, namespace)
        assert [key.partition("}:")[2] for key in keys] == ["is:last", "of:tenant-one", "used"]


async def test_a_session_that_the_server_evicted_begins_again(redis_server: RedisServer, namespace: str) -> None:
    async with sessions(redis_server, namespace) as state:
        await state.touch(visit("s", learn=["a"]))
        await asyncio.to_thread(redis_server.ask, "DEL", f"{{{namespace}:sessions}}:is:s")
        assert await state.session("s") is None
        assert list(await state.sessions(10)) == []
        assert await state.touch(visit(None, "a")) is None
        again = await state.touch(visit("s", "a", learn=["a"]))
        assert again is not None and again.created


async def test_keys_that_hold_something_else_are_faults(redis_server: RedisServer, namespace: str) -> None:
    async with sessions(redis_server, namespace) as state:
        await asyncio.to_thread(redis_server.ask, "SET", f"{{{namespace}:sessions}}:used", "x")
        for asked in (state.touch(visit("s")), state.sessions(1), state.session("s"), state.counts()):
            with pytest.raises(StoreFault):
                await asked
        state.settle(settled("s"))


async def test_a_session_with_missing_fields_is_a_fault(redis_server: RedisServer, namespace: str) -> None:
    async with sessions(redis_server, namespace) as state:
        await state.touch(visit("s"))
        await asyncio.to_thread(redis_server.ask, "HSET", f"{{{namespace}:sessions}}:is:s", "requests", "many")
        with pytest.raises(StoreFault):
            await state.session("s")


async def test_a_server_that_hangs_is_left_alone_until_it_goes_on(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        link = RedisLink(parse(server.url))
        blobs = GuardedBlobs(RedisBlobs(link, "n", 1 << 20), "it", 1.0, 0.05)
        await blobs.start()
        await blobs.set("k", b"x", 60.0)
        server.hang()
        with pytest.raises(StoreFault, match="no answer"):
            await blobs.get("k")
        for _ in range(100):
            with pytest.raises(StoreFault, match="left alone"):
                await blobs.get("k")
        server.go_on()
        await until_async(lambda: blobs.available, "the server to be asked again")
        assert await blobs.get("k") == b"x"
        await blobs.close()


async def test_a_server_that_dies_and_returns_is_used_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        state = GuardedSessions(RedisSessions(RedisLink(parse(server.url)), "n", 10, 60.0, Clock()), "it", 5.0, 0.05)
        await state.start()
        await state.touch(visit("s"))
        server.kill()
        with pytest.raises(StoreFault):
            await state.touch(visit("s"))
        state.settle(settled("s"))
        server.start()
        await until_async(lambda: state.available, "the server to be asked again")
        begun = await state.touch(visit("s"))
        assert begun is not None and begun.created
        state.settle(settled("s"))
        await known(state, "s", 1)
        await state.close()


async def test_outcomes_for_a_server_that_hangs_hold_nobody_up(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        state = RedisSessions(RedisLink(parse(server.url)), "n", 10, 60.0, Clock())
        await state.start()
        await state.touch(visit("s"))
        server.hang()
        for _ in range(10_000):
            state.settle(SessionOutcome(session="s", tenant="tenant-one"))
        await state.close()


async def test_a_store_that_never_reached_its_server_ends(tmp_path: Path) -> None:
    state = RedisSessions(RedisLink(parse("redis://127.0.0.1:1")), "n", 10, 60.0)
    await state.start()
    state.settle(settled("s"))
    await state.close()
    await RedisSessions(RedisLink(parse("redis://127.0.0.1:1")), "n", 10, 60.0).close()
