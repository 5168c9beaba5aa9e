"""Opens stores and keeps them over a reload: a store whose settings did not change goes on with all that it holds.

`StorePool` lives as long as the process, `Stores` as long as one configuration. Begin reading at `Stores.open`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from llmproxy.stores.base import DEFAULT_STORE, Store, StoreConfig
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.breakers import BreakerStore
from llmproxy.stores.facet import Facet
from llmproxy.stores.guard import GuardedBlobs, GuardedFacet, GuardedResponses, GuardedSessions, StoreLog
from llmproxy.stores.guarded_breakers import GuardedBreakers
from llmproxy.stores.guarded_quotas import GuardedQuotas
from llmproxy.stores.link import Link
from llmproxy.stores.memory import MemoryStore
from llmproxy.stores.quotas import QuotaStore
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import SessionStore

F = TypeVar("F", bound=Facet)
K = TypeVar("K", bound=Hashable)

Configured = tuple[type[Store], StoreConfig]


class OpenStore:
    """A store and its facets, each behind a guard where the store may be slow or fail.

    Those who ask for a facet with the same bounds get the same one.
    """

    def __init__(self, store: Store) -> None:
        self.type = store.config.type
        self.bounds_itself = store.bounds_itself
        self.shared = store.shared
        self.users = 0
        self._store = store
        self._log = StoreLog()
        self._blobs: dict[int, BlobStore] = {}
        self._sessions: dict[tuple[int, float], SessionStore] = {}
        self._responses: dict[int, ResponseStore] = {}
        self._quotas: dict[int, QuotaStore] = {}
        self._breakers: dict[None, BreakerStore] = {}
        self._affinity: dict[int, BlobStore] = {}
        self._started = False
        self._running: list[Facet] = []

    def blobs(self, max_bytes: int) -> BlobStore:
        """Return the values. At most `max_bytes` are kept, unless the store bounds itself."""
        return self._facet(self._blobs, max_bytes, lambda: self._store.blobs(max_bytes), GuardedBlobs)

    def sessions(self, max_sessions: int, ttl_s: float) -> SessionStore:
        """Return the sessions, of which `max_sessions` are kept, each until `ttl_s` seconds after its last use."""
        bounds = max_sessions, ttl_s
        return self._facet(self._sessions, bounds, lambda: self._store.sessions(*bounds), GuardedSessions)

    def responses(self, max_bytes: int) -> ResponseStore:
        """Return the state of the Responses API. At most `max_bytes` are kept, unless the store bounds itself."""
        return self._facet(self._responses, max_bytes, lambda: self._store.responses(max_bytes), GuardedResponses)

    def quotas(self, max_counters: int) -> QuotaStore:
        """Return the counters of limits. At most `max_counters` of those that clients choose are kept."""
        return self._facet(self._quotas, max_counters, lambda: self._store.quotas(max_counters), GuardedQuotas)

    def breakers(self) -> BreakerStore:
        """Return the targets that are out."""
        return self._facet(self._breakers, None, self._store.breakers, GuardedBreakers)

    def affinity(self, max_bytes: int) -> BlobStore:
        """Return which target made what. At most `max_bytes` are kept, unless the store bounds itself."""
        return self._facet(self._affinity, max_bytes, lambda: self._store.affinity(max_bytes), GuardedBlobs)

    def _facet(self, known: dict[K, F], bounds: K, make: Callable[[], F], guard: Callable[[F, str], F]) -> F:
        if bounds not in known:
            facet = make()
            if self._store.guarded:
                facet = guard(facet, str(self._store))
                if isinstance(facet, GuardedFacet):
                    facet.share_log(self._log)
            known[bounds] = facet
        return known[bounds]

    async def start(self) -> None:
        """Start the store, unless it runs, and the facets that do not run yet."""
        if not self._started:
            self._started = True
            await self._store.start()
        kinds = self._blobs, self._sessions, self._responses, self._quotas, self._breakers, self._affinity
        facets: list[Facet] = [facet for kind in kinds for facet in kind.values()]
        new = [facet for facet in facets if facet not in self._running]
        self._running += new
        await asyncio.gather(*(facet.start() for facet in new))

    async def close(self) -> None:
        """Close the facets, then the connection."""
        await asyncio.gather(*(facet.close() for facet in self._running))
        await self._store.close()


class StorePool:
    """The open stores of the process, by their class and settings.

    The memory stores of a worker are held by its parent, at the other end of `parent`: a link that is connected before
    stores start.
    """

    def __init__(self, parent: Link | None = None) -> None:
        self._open: list[tuple[Configured, OpenStore]] = []
        self._parent = parent

    def open(self, store: type[Store], config: StoreConfig) -> OpenStore:
        """Return the store with these settings, not started unless another configuration uses it."""
        for configured, known in self._open:
            if configured == (store, config):
                return known
        opened = OpenStore(self._make(store, config))
        self._open.append(((store, config), opened))
        return opened

    def _make(self, store: type[Store], config: StoreConfig) -> Store:
        if store is MemoryStore and self._parent is not None:
            from llmproxy.stores.served_memory import ServedMemory  # only workers need it

            return ServedMemory(config, self._parent)
        return store(config)

    async def release(self, store: OpenStore) -> None:
        """Close the store once no configuration uses it."""
        store.users -= 1
        if store.users <= 0:
            self._open = [each for each in self._open if each[1] is not store]
            await store.close()


class Stores:
    """The stores of one configuration, by name. Without an entry `default` that one is in memory."""

    def __init__(self, pool: StorePool | None = None, configured: Mapping[str, Configured] | None = None) -> None:
        self._pool = pool or StorePool()
        self._configured: dict[str, Configured] = {DEFAULT_STORE: (MemoryStore, MemoryStore.Config(type="memory"))}
        self._configured |= configured or {}
        self._used: dict[str, OpenStore] = {}
        self._started: list[OpenStore] = []

    def open(self, name: str = DEFAULT_STORE) -> OpenStore:
        """Return the store called `name`. To be called before `start`; raises KeyError for a name that is not
        configured."""
        if name not in self._used:
            self._used[name] = self._pool.open(*self._configured[name])
        return self._used[name]

    def find(self, name: str) -> OpenStore | None:
        """Return the store called `name` as `open` does, None where none of that name is configured."""
        return self.open(name) if name in self._configured else None

    async def start(self) -> None:
        """Start the stores that were opened. When one cannot be used they are closed again, and its error is raised."""
        self._started = list({id(store): store for store in self._used.values()}.values())
        for store in self._started:
            store.users += 1
        outcomes = await asyncio.gather(*(store.start() for store in self._started), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                await self.close()
                raise outcome

    async def close(self) -> None:
        """Close the stores that no other configuration uses."""
        started, self._started = self._started, []
        for store in started:
            await self._pool.release(store)


class RecordedStores(Stores):
    """The same as `stores`, for a component whose stores are of interest: `opened` are those that it has opened."""

    def __init__(self, stores: Stores) -> None:
        super().__init__()
        self.opened: dict[str, OpenStore] = {}
        self._stores = stores

    def open(self, name: str = DEFAULT_STORE) -> OpenStore:
        store = self.opened[name] = self._stores.open(name)
        return store
