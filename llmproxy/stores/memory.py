"""The store in this process: bounded in bytes or in number, the longest unused are removed first.

All of it runs on the event loop, between two awaits, so that every operation is atomic without a lock. Begin reading at
`MemoryStore`.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from pydantic import Field

from llmproxy.stores.base import Namespace, Store, StoreConfig
from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.breakers import BreakerStore, OutageRow
from llmproxy.stores.lru import ByteBoundedLru
from llmproxy.stores.memory_breakers import MemoryBreakers
from llmproxy.stores.memory_quotas import MemoryQuotas, QuotaTable
from llmproxy.stores.quotas import QuotaStore
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import (
    MAX_KEYS,
    MAX_MODELS,
    MAX_SESSION_TOKENS,
    RECENT,
    SKETCH_BYTES,
    RecentSession,
    Session,
    SessionCounts,
    SessionOutcome,
    SessionStore,
    Visit,
    VisitResult,
)


class MemoryStore(Store):
    """Dictionaries."""

    class Config(StoreConfig):
        """The keys of a memory store."""

        namespace: Namespace = Field(
            default="llmproxy", description="Memory stores with different namespaces hold nothing in common."
        )

    guarded = False
    shared = False

    def __init__(self, config: StoreConfig) -> None:
        super().__init__(config)
        self._blobs = ByteBoundedLru()
        self._responses = ByteBoundedLru()
        self._sessions = SessionTable()
        self._quotas = QuotaTable()
        self._affinity = ByteBoundedLru()
        self._breakers: dict[str, OutageRow] = {}

    def blobs(self, max_bytes: int) -> BlobStore:
        return MemoryBlobs(max_bytes, self._blobs)

    def sessions(self, max_sessions: int, ttl_s: float) -> SessionStore:
        return MemorySessions(max_sessions, ttl_s, table=self._sessions)

    def responses(self, max_bytes: int) -> ResponseStore:
        return MemoryResponses(max_bytes, self._responses)

    def breakers(self) -> BreakerStore:
        return MemoryBreakers(rows=self._breakers)

    def affinity(self, max_bytes: int) -> BlobStore:
        return MemoryBlobs(max_bytes, self._affinity)

    def quotas(self, max_counters: int) -> QuotaStore:
        return MemoryQuotas(max_counters, table=self._quotas)


class MemoryBlobs(BlobStore):
    """Values in a dictionary. `max_bytes` bounds everything, overhead included."""

    def __init__(self, max_bytes: int, values: ByteBoundedLru | None = None) -> None:
        self._max_bytes = max_bytes
        self._values = ByteBoundedLru() if values is None else values

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        self._values.set(key, value, ttl_s, self._max_bytes)

    async def delete(self, key: str) -> bool:
        return self._values.delete(key)

    async def clear(self, prefix: str = "") -> int:
        return self._values.clear(prefix)

    async def size(self) -> StoreSize:
        return StoreSize(entries=len(self._values.values), bytes=self._values.size_bytes)


class MemoryResponses(MemoryBlobs, ResponseStore):
    """The same for what the Responses API stores."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self._values.get(key) for key in keys]

    async def replace(self, key: str, before: bytes, value: bytes, ttl_s: float) -> bool:
        if self._values.get(key) != before:
            return False
        self._values.set(key, value, ttl_s, self._max_bytes)
        return True


_FEW = 32  # sessions that one visit ends at most, in less than a millisecond


@dataclass(slots=True, kw_only=True)
class _Live:
    """A session and its keys."""

    id: str
    tenant: str
    client: str
    started_s: float
    seen_s: float
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    cost_unknown: int = 0
    models: list[str] = field(default_factory=list)
    keys: deque[str] = field(default_factory=deque)
    sketch: bytes = b""

    def as_session(self) -> Session:
        return Session(
            id=self.id,
            client=self.client,
            started_s=self.started_s,
            seen_s=self.seen_s,
            requests=self.requests,
            errors=self.errors,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            cost_usd=self.cost_usd,
            cost_unknown=self.cost_unknown,
            models=tuple(self.models),
        )


class SessionTable:
    """Sessions by id in the order of their last use, by key, and the last ones of each tenant."""

    __slots__ = ("evicted", "expired", "known", "live", "tenants")

    def __init__(self) -> None:
        self.live: OrderedDict[str, _Live] = OrderedDict()
        self.known: dict[tuple[str, str], _Live] = {}  # by tenant and key
        self.tenants: dict[str, OrderedDict[str, _Live]] = {}
        self.expired = 0
        self.evicted = 0


class MemorySessions(SessionStore):
    """Sessions in dictionaries, those of `table`."""

    def __init__(
        self,
        max_sessions: int,
        ttl_s: float,
        clock: Callable[[], float] = time.time,
        table: SessionTable | None = None,
    ) -> None:
        self._max_sessions = max_sessions
        self._ttl_s = ttl_s
        self._clock = clock
        self._table = SessionTable() if table is None else table
        self._live, self._known, self._tenants = self._table.live, self._table.known, self._table.tenants

    async def touch(self, visit: Visit) -> VisitResult | None:
        self._expire(visit.now_s)
        place, live = self._find(visit)
        created = False
        if live is None:
            if visit.session is None:
                return None
            live, created = self._take(visit, visit.session)
        live.seen_s = max(live.seen_s, visit.now_s)
        self._live.move_to_end(live.id)
        self._tenants[live.tenant].move_to_end(live.id)
        self._learn(live, visit.learn)
        return VisitResult(session=live.id, place=place, created=created)

    def _find(self, visit: Visit) -> tuple[int | None, _Live | None]:
        for place, key in enumerate(visit.keys):
            live = self._alive(self._known.get((visit.tenant, key)), visit.now_s)
            if live is not None:
                return place, live
        return None, None

    def _alive(self, live: _Live | None, now_s: float) -> _Live | None:
        """Return the session unless it is over; end one that is."""
        if live is None or live.seen_s + self._ttl_s > now_s:
            return live
        self._end(live)
        self._table.expired += 1
        return None

    def _take(self, visit: Visit, name: str) -> tuple[_Live, bool]:
        """Return the session of that name, and whether it was begun now."""
        while (live := self._alive(self._live.get(name), visit.now_s)) is not None:
            if live.tenant == visit.tenant:
                return live, False
            name = f"{name}~{visit.tenant[:8]}"
        live = _Live(id=name, tenant=visit.tenant, client=visit.client, started_s=visit.now_s, seen_s=visit.now_s)
        self._live[name] = live
        self._tenants.setdefault(visit.tenant, OrderedDict())[name] = live
        for _ in range(min(len(self._live) - self._max_sessions, _FEW)):
            oldest = self._alive(next(iter(self._live.values())), visit.now_s)
            if oldest is not None:
                self._end(oldest)
                self._table.evicted += 1
        return live, True

    def _learn(self, live: _Live, keys: Sequence[str]) -> None:
        for key in keys:
            before = self._known.get((live.tenant, key))
            if before is live:
                continue
            if before is not None:
                before.keys.remove(key)
            self._known[live.tenant, key] = live
            live.keys.append(key)
            if len(live.keys) > MAX_KEYS:
                del self._known[live.tenant, live.keys.popleft()]

    def _expire(self, now_s: float) -> None:
        """End some of the sessions that are over, the longest unused first."""
        for _ in range(_FEW):
            if not self._live or self._alive(next(iter(self._live.values())), now_s) is not None:
                return

    def _over(self, now_s: float) -> int:
        """Count the sessions that are over and were not ended yet."""
        return sum(1 for _ in takewhile(lambda live: live.seen_s + self._ttl_s <= now_s, self._live.values()))

    def _end(self, live: _Live) -> None:
        del self._live[live.id]
        own = self._tenants[live.tenant]
        del own[live.id]
        if not own:
            del self._tenants[live.tenant]
        for key in live.keys:
            del self._known[live.tenant, key]

    async def recent(self, tenant: str) -> Sequence[RecentSession]:
        now_s = self._clock()
        own = self._tenants.get(tenant, OrderedDict())
        return [
            RecentSession(session=live.id, sketch=live.sketch)
            for live, _ in zip(reversed(own.values()), range(RECENT), strict=False)
            if live.seen_s + self._ttl_s > now_s
        ]

    def settle(self, outcome: SessionOutcome) -> None:
        live = self._live.get(outcome.session)
        if live is None or live.tenant != outcome.tenant:
            return
        live.requests += 1
        live.errors += outcome.error
        live.input_tokens = min(live.input_tokens + outcome.input_tokens, MAX_SESSION_TOKENS)
        live.output_tokens = min(live.output_tokens + outcome.output_tokens, MAX_SESSION_TOKENS)
        live.cached_tokens = min(live.cached_tokens + outcome.cached_tokens, MAX_SESSION_TOKENS)
        live.cost_usd += outcome.cost_usd
        live.cost_unknown += outcome.cost_unknown
        if outcome.model and outcome.model not in live.models and len(live.models) < MAX_MODELS:
            live.models.append(outcome.model)
        if outcome.sketch:
            live.sketch = (live.sketch + outcome.sketch)[-SKETCH_BYTES:]
        self._learn(live, outcome.learn)

    async def session(self, name: str) -> Session | None:
        live = self._alive(self._live.get(name), self._clock())
        return live.as_session() if live else None

    async def sessions(self, limit: int) -> Sequence[Session]:
        now_s = self._clock()
        return [
            live.as_session()
            for live, _ in zip(reversed(self._live.values()), range(limit), strict=False)
            if live.seen_s + self._ttl_s > now_s
        ]

    async def counts(self) -> SessionCounts:
        over = self._over(self._clock())
        return SessionCounts(
            active=len(self._live) - over, expired=self._table.expired + over, evicted=self._table.evicted
        )
