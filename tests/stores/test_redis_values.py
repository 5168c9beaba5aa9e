"""How values stand in a Redis, and a server that hangs behind the guard."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.guard import GuardedBlobs
from llmproxy.stores.redis_link import RedisLink
from llmproxy.stores.redis_url import parse_redis_url
from tests.support.redis_server import RedisServer
from tests.support.stores import LoneRedisBlobs
from tests.support.waiting import until_async


@asynccontextmanager
async def values(server: RedisServer, namespace: str, max_bytes: int = 1 << 20) -> AsyncIterator[LoneRedisBlobs]:
    blobs = LoneRedisBlobs(RedisLink(parse_redis_url(server.url)), namespace, max_bytes)
    await blobs.start()
    try:
        yield blobs
    finally:
        await blobs.close()


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


async def test_a_server_that_hangs_is_left_alone_until_it_goes_on(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        link = RedisLink(parse_redis_url(server.url))
        blobs = GuardedBlobs(LoneRedisBlobs(link, "n", 1 << 20), "it", 1.0, 0.05)
        await blobs.start()
        await blobs.set("k", b"x", 60.0)
        server.hang()
        with pytest.raises(StoreFault, match="no answer"):
            await blobs.get("k")
        for _ in range(100):
            with pytest.raises(StoreFault, match="is not used until"):
                await blobs.get("k")
        server.go_on()
        await until_async(lambda: blobs.available, "the server to be asked again")
        assert await blobs.get("k") == b"x"
        await blobs.close()
