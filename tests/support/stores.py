"""Stores for tests: a facet with its own connection, and stores from the facets of a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from llmproxy.stores.base import DEFAULT_STORE, StoreConfig
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.disk_quotas import DiskQuotas
from llmproxy.stores.disk_sessions import DiskSessions
from llmproxy.stores.disk_tables import open_file
from llmproxy.stores.disk_values import DiskBlobs, DiskResponses
from llmproxy.stores.memory import MemoryStore
from llmproxy.stores.open_stores import OpenStore, Stores
from llmproxy.stores.redis_link import RedisLink
from llmproxy.stores.redis_quotas import RedisQuotas
from llmproxy.stores.redis_sessions import RedisSessions
from llmproxy.stores.redis_values import RedisBlobs, RedisResponses
from llmproxy.stores.sessions import SessionStore


class LoneDiskBlobs(DiskBlobs):
    """Values in a file of their own."""

    def __init__(self, path: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        super().__init__(open_file(path), max_bytes, clock)

    async def close(self) -> None:
        await super().close()
        await self._file.close()


class LoneDiskResponses(DiskResponses):
    """The state of the Responses API in a file of its own."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(open_file(path), max_bytes)

    async def close(self) -> None:
        await super().close()
        await self._file.close()


class LoneDiskSessions(DiskSessions):
    """Sessions in a file of their own."""

    def __init__(self, path: Path, max_sessions: int, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        super().__init__(open_file(path), max_sessions, ttl_s, clock)

    async def close(self) -> None:
        await super().close()
        await self._file.close()


class LoneDiskQuotas(DiskQuotas):
    """Counters in a file of their own."""

    def __init__(self, path: Path, max_counters: int, clock: Callable[[], float] = time.time) -> None:
        super().__init__(open_file(path), max_counters, clock)

    async def close(self) -> None:
        await super().close()
        await self._file.close()


class LoneRedisBlobs(RedisBlobs):
    """Values over a connection of their own."""

    async def start(self) -> None:
        await self._link.start()

    async def close(self) -> None:
        await self._link.close()


class LoneRedisResponses(RedisResponses):
    """The state of the Responses API over a connection of its own."""

    async def start(self) -> None:
        await self._link.start()

    async def close(self) -> None:
        await self._link.close()


class LoneRedisSessions(RedisSessions):
    """Sessions over a connection of their own."""

    _link: RedisLink

    async def start(self) -> None:
        await self._link.start()
        await super().start()

    async def close(self) -> None:
        await super().close()
        await self._link.close()


class LoneRedisQuotas(RedisQuotas):
    """Counters over a connection of their own."""

    _link: RedisLink

    async def start(self) -> None:
        await self._link.start()
        await super().start()

    async def close(self) -> None:
        await super().close()
        await self._link.close()


class FixedStores(Stores):
    """Stores of which every one has the facets of the test. They are started with the stores."""

    def __init__(self, *, blobs: BlobStore | None = None, sessions: SessionStore | None = None) -> None:
        super().__init__()
        self._fixed = _FixedStore(blobs, sessions)

    def open(self, name: str = DEFAULT_STORE) -> OpenStore:
        return self._fixed

    async def start(self) -> None:
        await self._fixed.start()

    async def close(self) -> None:
        await self._fixed.close()


class _FixedStore(OpenStore):
    def __init__(self, blobs: BlobStore | None, sessions: SessionStore | None) -> None:
        super().__init__(MemoryStore(StoreConfig(type="memory")))
        self._fixed_blobs, self._fixed_sessions = blobs, sessions

    def blobs(self, max_bytes: int) -> BlobStore:
        if self._fixed_blobs is None:
            return super().blobs(max_bytes)
        return self._blobs.setdefault(0, self._fixed_blobs)

    def sessions(self, max_sessions: int, ttl_s: float) -> SessionStore:
        if self._fixed_sessions is None:
            return super().sessions(max_sessions, ttl_s)
        return self._sessions.setdefault((0, 0.0), self._fixed_sessions)
