"""Stores entries behind the traffic: who was answered does not wait for it, and who asks again meanwhile finds them.

What takes long to make is made in a thread, when its turn has come; until then it is not found.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from llmproxy.caching.counters import CacheCounters
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.facet import StoreFault

Make = Callable[[], bytes | None]
MAX_BYTES = 64 * 1024 * 1024  # what may wait; beyond it, nothing more is stored until there is room
_CLOSE_S = 2.0


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    value: bytes | Make
    ttl_s: float
    size_bytes: int


class WriteBehind:
    """One task that sets what waits, oldest first, and tells `counters` of it."""

    def __init__(self, blobs: BlobStore, counters: CacheCounters) -> None:
        self.lost = 0
        self._blobs = blobs
        self._counters = counters
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._size_bytes = 0
        self._wake = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; within the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Set what waits, unless that takes long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._done.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until nothing waits any more."""
        await self._done.wait()

    def save(self, key: str, value: bytes, ttl_s: float) -> None:
        """Set it soon. Lost when too much waits."""
        if self._wait(key, _Waiting(value=value, ttl_s=ttl_s, size_bytes=len(value))):
            self._counters.stored += 1

    def save_later(self, key: str, make: Make, size_bytes: int, ttl_s: float) -> None:
        """Set what `make` gives, if anything, which is about `size_bytes`. It is called in a thread."""
        self._wait(key, _Waiting(value=make, ttl_s=ttl_s, size_bytes=size_bytes))

    def _wait(self, key: str, given: _Waiting) -> bool:
        if self._size_bytes + given.size_bytes > MAX_BYTES:
            self.lost += 1
            return False
        self._drop(key)
        self._waiting[key] = given
        self._size_bytes += given.size_bytes
        self._done.clear()
        self._wake.set()
        return True

    def pending(self, key: str) -> bytes | None:
        """What waits under `key`."""
        found = self._waiting.get(key)
        return found.value if found is not None and isinstance(found.value, bytes) else None

    def _drop(self, key: str) -> None:
        old = self._waiting.pop(key, None)
        if old is not None:
            self._size_bytes -= old.size_bytes

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                key, given = next(iter(self._waiting.items()))
                value = given.value if isinstance(given.value, bytes) else await self._made(given.value)
                if value is not None:
                    await self._set(key, value, given.ttl_s)
                if self._waiting.get(key) is given:
                    self._drop(key)
            self._done.set()

    async def _made(self, make: Make) -> bytes | None:
        value = await asyncio.to_thread(make)
        self._counters.stored += value is not None
        return value

    async def _set(self, key: str, value: bytes, ttl_s: float) -> None:
        try:
            await self._blobs.set(key, value, ttl_s)
        except StoreFault:
            self.lost += 1
