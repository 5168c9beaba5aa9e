"""Stores entries behind the traffic: who was answered does not wait for it, and who asks again meanwhile finds them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict

from llmproxy.stores.base import Blobs, StoreFault

MAX_BYTES = 64 * 1024 * 1024  # what may wait; beyond it, nothing more is stored until there is room
_CLOSE_S = 2.0


class Saver:
    """One task that sets what waits, oldest first."""

    def __init__(self, blobs: Blobs) -> None:
        self.lost = 0
        self._blobs = blobs
        self._waiting: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
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
        if self._size_bytes + len(value) > MAX_BYTES:
            self.lost += 1
            return
        self._drop(key)
        self._waiting[key] = value, ttl_s
        self._size_bytes += len(value)
        self._done.clear()
        self._wake.set()

    def pending(self, key: str) -> bytes | None:
        """What waits under `key`."""
        found = self._waiting.get(key)
        return None if found is None else found[0]

    def _drop(self, key: str) -> None:
        old = self._waiting.pop(key, None)
        if old is not None:
            self._size_bytes -= len(old[0])

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                key, given = next(iter(self._waiting.items()))
                try:
                    await self._blobs.set(key, *given)
                except StoreFault:
                    self.lost += 1
                if self._waiting.get(key) is given:
                    self._drop(key)
            self._done.set()
