"""How sessions stand in a Redis, and a server that dies behind the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.guard import GuardedSessions
from llmproxy.stores.redis_link import RedisLink
from llmproxy.stores.redis_url import parse_redis_url
from llmproxy.stores.sessions import SessionOutcome
from tests.stores.conftest import Clock
from tests.stores.test_redis_values import values
from tests.stores.test_sessions import known, settled, visit
from tests.support.redis_server import RedisServer
from tests.support.stores import LoneRedisSessions
from tests.support.waiting import until_async


@asynccontextmanager
async def sessions(server: RedisServer, namespace: str, ttl_s: float = 100.0) -> AsyncIterator[LoneRedisSessions]:
    state = LoneRedisSessions(RedisLink(parse_redis_url(server.url)), namespace, 3, ttl_s, Clock())
    await state.start()
    try:
        yield state
    finally:
        await state.close()


def keys_of(server: RedisServer, namespace: str) -> list[str]:
    with server.client() as client:
        return sorted(key.decode() for key in client.keys(f"*{namespace}:*"))


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


async def test_a_session_that_an_older_replica_counts_too_goes_on(redis_server: RedisServer, namespace: str) -> None:
    async with sessions(redis_server, namespace) as state:
        await state.touch(visit("s"))
        at = f"{{{namespace}:sessions}}:is:s"
        await asyncio.to_thread(redis_server.ask, "HDEL", at, "cached")
        await asyncio.to_thread(redis_server.ask, "HINCRBY", at, "requests", 1)  # as of one that knows no such field
        await asyncio.to_thread(redis_server.ask, "HINCRBY", at, "input", 100)
        assert (await known(state, "s", 1)).cached_tokens == 0
        state.settle(settled("s", input_tokens=50, cached_tokens=40))
        found = await known(state, "s", 2)
        assert (found.input_tokens, found.cached_tokens) == (150, 40)


async def test_a_server_that_dies_and_returns_is_used_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        state = GuardedSessions(
            LoneRedisSessions(RedisLink(parse_redis_url(server.url)), "n", 10, 60.0, Clock()), "it", 5.0, 0.05
        )
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
        state = LoneRedisSessions(RedisLink(parse_redis_url(server.url)), "n", 10, 60.0, Clock())
        await state.start()
        await state.touch(visit("s"))
        server.hang()
        for _ in range(10_000):
            state.settle(SessionOutcome(session="s", tenant="tenant-one"))
        await state.close()


async def test_a_store_that_never_reached_its_server_ends(tmp_path: Path) -> None:
    state = LoneRedisSessions(RedisLink(parse_redis_url("redis://127.0.0.1:1")), "n", 10, 60.0)
    await state.start()
    state.settle(settled("s"))
    await state.close()
    await LoneRedisSessions(RedisLink(parse_redis_url("redis://127.0.0.1:1")), "n", 10, 60.0).close()
