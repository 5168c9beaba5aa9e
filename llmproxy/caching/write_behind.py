"""Store entries in the background: the client does not wait, and requests meanwhile find the pending entries.

Large entries are built in a thread just before they are stored; until then they are not found.
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

Build = Callable[[], bytes | None]
MAX_PENDING_BYTES = 64 * 1024 * 1024  # limit of pending entries; above it, new ones are dropped
_CLOSE_S = 2.0


class _Pending(msgspec.Struct, frozen=True, kw_only=True):
    value: bytes | Build
    ttl_s: float
    size_bytes: int


class WriteBehind:
    """One task that stores pending entries, oldest first, and counts them in `counters`."""

    def __init__(self, blobs: BlobStore, counters: CacheCounters) -> None:
        self.lost = 0
        self._blobs = blobs
        self._counters = counters
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._size_bytes = 0
        self._wake = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Store the pending entries, within a time limit, and stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._done.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until every pending entry is stored."""
        await self._done.wait()

    def save(self, key: str, value: bytes, ttl_s: float) -> None:
        """Store the value soon. Drop it when too much is pending."""
        if self._add(key, _Pending(value=value, ttl_s=ttl_s, size_bytes=len(value))):
            self._counters.stored += 1

    def save_later(self, key: str, build: Build, size_bytes: int, ttl_s: float) -> None:
        """Store the result of `build`, of about `size_bytes`, unless it is None. `build` runs in a thread."""
        self._add(key, _Pending(value=build, ttl_s=ttl_s, size_bytes=size_bytes))

    def _add(self, key: str, entry: _Pending) -> bool:
        if self._size_bytes + entry.size_bytes > MAX_PENDING_BYTES:
            self.lost += 1
            return False
        self._drop(key)
        self._pending[key] = entry
        self._size_bytes += entry.size_bytes
        self._done.clear()
        self._wake.set()
        return True

    def pending(self, key: str) -> bytes | None:
        """Return the pending value of `key`."""
        entry = self._pending.get(key)
        return entry.value if entry is not None and isinstance(entry.value, bytes) else None

    def _drop(self, key: str) -> None:
        old = self._pending.pop(key, None)
        if old is not None:
            self._size_bytes -= old.size_bytes

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                key, entry = next(iter(self._pending.items()))
                value = entry.value if isinstance(entry.value, bytes) else await self._build(entry.value)
                if value is not None:
                    await self._set(key, value, entry.ttl_s)
                if self._pending.get(key) is entry:
                    self._drop(key)
            self._done.set()

    async def _build(self, build: Build) -> bytes | None:
        value = await asyncio.to_thread(build)
        self._counters.stored += value is not None
        return value

    async def _set(self, key: str, value: bytes, ttl_s: float) -> None:
        try:
            await self._blobs.set(key, value, ttl_s)
        except StoreFault:
            self.lost += 1
