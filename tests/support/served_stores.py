"""Memory stores that a parent holds for its workers, all of them in this process, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable

from llmproxy.stores.base import StoreConfig
from llmproxy.stores.link import Link
from llmproxy.stores.memory import MemorySessions, MemoryStore
from llmproxy.stores.memory_quotas import MemoryQuotas, QuotaTable
from llmproxy.stores.quotas import QuotaStore
from llmproxy.stores.served_memory import ServedMemory
from llmproxy.stores.sessions import SessionStore
from llmproxy.stores.store_server import StoreServer


class _ClockedMemory(MemoryStore):
    """A memory store by the clock of a test."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(StoreConfig(type="memory"))
        self._clock = clock
        self._counters = QuotaTable()

    def sessions(self, max_sessions: int, ttl_s: float) -> SessionStore:
        return MemorySessions(max_sessions, ttl_s, self._clock, self._sessions)

    def quotas(self, max_counters: int) -> QuotaStore:
        return MemoryQuotas(max_counters, self._clock, self._clock, self._counters)


class Parent:
    """The parent of workers. Its stores go by `clock`, if there is one."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.server = StoreServer() if clock is None else StoreServer(lambda: _ClockedMemory(clock))
        self._links: dict[Link, Link] = {}  # by those of workers

    async def link(self) -> Link:
        """Return the link of a new worker, connected."""
        worker, parent = Link("the parent"), Link("the worker")
        self.server.attach(parent)
        ends = socket.socketpair()
        await worker.connect(ends[0])
        await parent.connect(ends[1])
        self._links[worker] = parent
        return worker

    async def lose(self, worker: Link) -> None:
        """End a worker as a crash does: nothing is closed before, and the parent has noticed."""
        await worker.close()
        await self._links[worker].wait_closed()

    async def store(self, namespace: str = "llmproxy") -> ServedMemory:
        """Return the store of a new worker."""
        return ServedMemory(MemoryStore.Config(type="memory", namespace=namespace), await self.link())

    async def stay(self) -> None:
        """Keep what is in the store when other workers end, by one that stays."""
        await (await self.store()).breakers().start()

    async def close(self) -> None:
        for worker, parent in self._links.items():
            await parent.close()
            await worker.close()
