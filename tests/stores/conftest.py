"""Stores to test, each kind of them: made by a call, closed with the test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from llmproxy.stores.base import Store
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.breakers import BreakerStore, OutageRow
from llmproxy.stores.disk import DiskStore
from llmproxy.stores.memory import MemoryBlobs, MemoryResponses, MemorySessions
from llmproxy.stores.memory_breakers import MemoryBreakers
from llmproxy.stores.memory_quotas import MemoryQuotas, QuotaTable
from llmproxy.stores.quotas import QuotaStore
from llmproxy.stores.redis import RedisStore
from llmproxy.stores.redis_link import RedisLink
from llmproxy.stores.redis_url import parse_redis_url
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import SessionStore
from tests.support.redis_server import RedisServer, cluster
from tests.support.served_stores import Parent
from tests.support.stores import (
    LoneDiskBlobs,
    LoneDiskQuotas,
    LoneDiskResponses,
    LoneDiskSessions,
    LoneRedisBlobs,
    LoneRedisQuotas,
    LoneRedisResponses,
    LoneRedisSessions,
)

MakeBlobs: TypeAlias = Callable[..., Awaitable[BlobStore]]
MakeResponses: TypeAlias = Callable[..., Awaitable[ResponseStore]]
MakeSessions: TypeAlias = Callable[..., Awaitable[SessionStore]]
MakeBreakers: TypeAlias = Callable[..., Awaitable[BreakerStore]]
MakeQuotas: TypeAlias = Callable[..., Awaitable[QuotaStore]]

_numbers = itertools.count()


class Clock:
    """The wall clock, as a test sets it."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def parent(clock: Clock) -> AsyncIterator[Parent]:
    """Yield the process that holds the memory stores of workers."""
    parent = Parent(clock)
    yield parent
    await parent.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Yield a server for the session of a worker; every test has a namespace of its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a cluster of three."""
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers[:2])


@pytest.fixture
def namespace() -> str:
    return f"test{next(_numbers)}"


def _url(request: pytest.FixtureRequest) -> str:
    if request.param == "cluster":
        return str(request.getfixturevalue("redis_cluster"))
    server = request.getfixturevalue("redis_server")
    assert isinstance(server, RedisServer)
    return server.url


@pytest.fixture(params=["memory", "served", "disk", "redis", "cluster"])
async def make_blobs(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, parent: Parent
) -> AsyncIterator[MakeBlobs]:
    """Makes a store of values; each call the same one again, as another process would see it (not in memory)."""
    url = _url(request) if request.param in ("redis", "cluster") else ""
    made: list[BlobStore] = []

    async def make(max_bytes: int = 64 << 20) -> BlobStore:
        match request.param:
            case "memory":
                blobs: BlobStore = MemoryBlobs(max_bytes)
            case "served":
                blobs = (await parent.store()).affinity(max_bytes)  # its other values stay in the worker
            case "disk":
                blobs = LoneDiskBlobs(tmp_path / "store.sqlite", max_bytes)
            case _:
                blobs = LoneRedisBlobs(RedisLink(parse_redis_url(url)), namespace, max_bytes)
        made.append(blobs)
        await blobs.start()
        return blobs

    yield make
    for blobs in made:
        await blobs.close()


@pytest.fixture(params=["memory", "served", "disk", "redis", "cluster"])
async def make_sessions(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, clock: Clock, parent: Parent
) -> AsyncIterator[MakeSessions]:
    """Makes a store of sessions by `clock`; each call the same one again, as another process would see it."""
    url = _url(request) if request.param in ("redis", "cluster") else ""
    made: list[SessionStore] = []

    async def make(max_sessions: int = 1000, ttl_s: float = 3600.0) -> SessionStore:
        match request.param:
            case "memory":
                state: SessionStore = MemorySessions(max_sessions, ttl_s, clock)
            case "served":
                if not made:
                    await parent.stay()
                state = (await parent.store()).sessions(max_sessions, ttl_s)
            case "disk":
                state = LoneDiskSessions(tmp_path / "store.sqlite", max_sessions, ttl_s, clock)
            case _:
                state = LoneRedisSessions(RedisLink(parse_redis_url(url)), namespace, max_sessions, ttl_s, clock)
        made.append(state)
        await state.start()
        return state

    yield make
    for state in made:
        await state.close()


@pytest.fixture(params=["memory", "served", "disk", "redis", "cluster"])
async def make_responses(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, parent: Parent
) -> AsyncIterator[MakeResponses]:
    """Makes a store of what the Responses API keeps; each call the same one again, as another process would see it."""
    url = _url(request) if request.param in ("redis", "cluster") else ""
    made: list[ResponseStore] = []

    async def make(max_bytes: int = 64 << 20) -> ResponseStore:
        match request.param:
            case "memory":
                responses: ResponseStore = made[0] if made else MemoryResponses(max_bytes)
            case "served":
                responses = (await parent.store()).responses(max_bytes)
            case "disk":
                responses = LoneDiskResponses(tmp_path / "store.sqlite", max_bytes)
            case _:
                responses = LoneRedisResponses(RedisLink(parse_redis_url(url)), namespace, max_bytes)
        made.append(responses)
        await responses.start()
        return responses

    yield make
    for responses in made:
        await responses.close()


@pytest.fixture(params=["memory", "served", "disk", "redis", "cluster"])
async def make_breakers(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, parent: Parent
) -> AsyncIterator[MakeBreakers]:
    """Makes a store of targets that are out; each call the same one again, as another process would see it."""
    url = _url(request) if request.param in ("redis", "cluster") else ""
    opened: list[Store] = []
    rows: dict[str, OutageRow] = {}

    async def make() -> BreakerStore:
        match request.param:
            case "memory":
                return MemoryBreakers(rows=rows)
            case "served":
                breakers = (await parent.store()).breakers()
                await breakers.start()
                return breakers
            case "disk":
                store: Store = DiskStore(DiskStore.Config(type="disk", path=str(tmp_path / "store.sqlite")))
            case _:
                store = RedisStore(RedisStore.Config(type="redis", url=url, namespace=namespace))
        opened.append(store)
        await store.start()
        return store.breakers()

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Which kind of store the test has."""
    params = request.node.callspec.params
    return str(next(params[name] for name in ("make_blobs", "make_sessions", "make_responses") if name in params))


@pytest.fixture(params=["memory", "served", "disk", "redis", "cluster"])
async def make_quotas(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, clock: Clock, parent: Parent
) -> AsyncIterator[MakeQuotas]:
    """Makes counters by `clock`; each call the same ones again, as another process would see them."""
    url = _url(request) if request.param in ("redis", "cluster") else ""
    made: list[QuotaStore] = []
    table = QuotaTable()

    async def make(max_counters: int = 1000) -> QuotaStore:
        match request.param:
            case "memory":
                quotas: QuotaStore = MemoryQuotas(max_counters, clock, clock, table)
            case "served":
                quotas = (await parent.store()).quotas(max_counters)
            case "disk":
                quotas = LoneDiskQuotas(tmp_path / "store.sqlite", max_counters, clock)
            case _:
                quotas = LoneRedisQuotas(RedisLink(parse_redis_url(url)), namespace, clock)
        made.append(quotas)
        await quotas.start()
        return quotas

    yield make
    for quotas in made:
        await quotas.close()
