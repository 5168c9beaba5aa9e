"""Stores in this process: bounded in bytes or in number, the longest unused goes first. They end with the process.

All of it runs on the event loop, between two awaits, so that every operation is atomic without a lock.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.sessions import (
    MAX_KEYS,
    MAX_MODELS,
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

if TYPE_CHECKING:
    from llmproxy.stores.settings import StoreSettings

# What an entry costs beyond its key and value: two objects' heads, the dictionary's and the list's places, the pair.
# Measured over 100,000 entries of 1 KB (CPython 3.11, 64 bit): 253 bytes by tracemalloc, 295 by the process's growth.
ENTRY_BYTES = 280


class MemoryBlobs(BlobStore):
    """Values in a dictionary. `max_bytes` bounds everything, overhead included."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._size_bytes = 0
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        found = self._values.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            self._forget(key)
            return None
        self._values.move_to_end(key)
        return found[1]

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        self._forget(key)
        size = _weight(key, value)
        if size > self._max_bytes:
            return
        self._values[key] = self._clock() + ttl_s, value
        self._size_bytes += size
        while self._size_bytes > self._max_bytes:
            self._forget(next(iter(self._values)))

    async def delete(self, key: str) -> bool:
        found = self._values.get(key)
        self._forget(key)
        return found is not None and found[0] > self._clock()

    async def clear(self, prefix: str = "") -> int:
        now_s = self._clock()
        found = [(key, ends_s) for key, (ends_s, _) in self._values.items() if key.startswith(prefix)]
        for key, _ in found:
            self._forget(key)
        return sum(ends_s > now_s for _, ends_s in found)

    async def size(self) -> StoreSize:
        return StoreSize(entries=len(self._values), bytes=self._size_bytes)

    def _forget(self, key: str) -> bool:
        found = self._values.pop(key, None)
        if found is None:
            return False
        self._size_bytes -= _weight(key, found[1])
        return True


def _weight(key: str, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_BYTES


_FEW = 32  # so many sessions that are over end with one visit at most, in less than a millisecond


@dataclass(slots=True, kw_only=True)
class _Live:
    """A session, and by what it is known."""

    id: str
    tenant: str
    client: str
    started_s: float
    seen_s: float
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    models: list[str] = field(default_factory=list)
    keys: deque[str] = field(default_factory=deque)
    sketch: bytes = b""

    def shown(self) -> Session:
        return Session(
            id=self.id,
            client=self.client,
            started_s=self.started_s,
            seen_s=self.seen_s,
            requests=self.requests,
            errors=self.errors,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            models=tuple(self.models),
        )


class MemorySessions(SessionStore):
    """Sessions in dictionaries: by id in the order of their last use, by key, and the last ones of each tenant."""

    def __init__(self, max_sessions: int, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._max_sessions = max_sessions
        self._ttl_s = ttl_s
        self._clock = clock
        self._live: OrderedDict[str, _Live] = OrderedDict()
        self._known: dict[tuple[str, str], _Live] = {}  # by tenant and key
        self._tenants: dict[str, OrderedDict[str, _Live]] = {}
        self._expired = 0
        self._evicted = 0

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
        """The session unless it is over; one that is ends now."""
        if live is None or live.seen_s + self._ttl_s > now_s:
            return live
        self._end(live)
        self._expired += 1
        return None

    def _take(self, visit: Visit, name: str) -> tuple[_Live, bool]:
        """The session of that name, begun when there is none; whether it was."""
        while (live := self._alive(self._live.get(name), visit.now_s)) is not None:
            if live.tenant == visit.tenant:
                return live, False
            name = f"{name}~{visit.tenant[:8]}"
        live = _Live(id=name, tenant=visit.tenant, client=visit.client, started_s=visit.now_s, seen_s=visit.now_s)
        self._live[name] = live
        self._tenants.setdefault(visit.tenant, OrderedDict())[name] = live
        if len(self._live) > self._max_sessions:
            oldest = self._alive(next(iter(self._live.values())), visit.now_s)
            if oldest is not None:
                self._end(oldest)
                self._evicted += 1
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
        """End some of those that are over, those not used for longest first."""
        for _ in range(_FEW):
            if not self._live or self._alive(next(iter(self._live.values())), now_s) is not None:
                return

    def _over(self, now_s: float) -> int:
        """How many are over and did not end yet."""
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
        live.input_tokens += outcome.input_tokens
        live.output_tokens += outcome.output_tokens
        if outcome.model and outcome.model not in live.models and len(live.models) < MAX_MODELS:
            live.models.append(outcome.model)
        if outcome.sketch:
            live.sketch = (live.sketch + outcome.sketch)[-SKETCH_BYTES:]
        self._learn(live, outcome.learn)

    async def session(self, name: str) -> Session | None:
        live = self._alive(self._live.get(name), self._clock())
        return live.shown() if live else None

    async def sessions(self, limit: int) -> Sequence[Session]:
        now_s = self._clock()
        return [
            live.shown()
            for live, _ in zip(reversed(self._live.values()), range(limit), strict=False)
            if live.seen_s + self._ttl_s > now_s
        ]

    async def counts(self) -> SessionCounts:
        over = self._over(self._clock())
        return SessionCounts(active=len(self._live) - over, expired=self._expired + over, evicted=self._evicted)


def open_blobs(settings: StoreSettings, max_bytes: int) -> BlobStore:
    """A store in this process; there is nothing to set."""
    return MemoryBlobs(max_bytes)


def open_sessions(settings: StoreSettings, max_sessions: int, ttl_s: float) -> SessionStore:
    """A store in this process; there is nothing to set."""
    return MemorySessions(max_sessions, ttl_s)
