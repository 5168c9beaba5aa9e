"""Shares with other processes which targets are out or at their limit, through a store.

Requests never wait for it, except for one that would find out whether a target is healthy again: only one process does
that at a time. What happens here is stored soon, what happened elsewhere is read twice a second. While the store does
not answer this process decides alone, and afterwards stores what it knows. Begin reading at `SharedHealth.sync`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from llmproxy.routing.health import Health
from llmproxy.stores.breakers import BreakerStore, Outage
from llmproxy.stores.facet import StoreFault
from llmproxy.target_health import TargetHealth

_SHARE_EVERY_S = 0.5
PROBE_S = 120.0
"""The longest time in seconds for which one process alone may probe a target."""

Write = Callable[[], Awaitable[None]]


class SharedHealth:
    """Shares `health` through `store`. `now` is `time.monotonic`."""

    def __init__(self, health: Health, store: BreakerStore, now: Callable[[], float] = time.monotonic) -> None:
        self._health = health
        self._store = store
        self._now = now
        self._waiting: dict[tuple[str, str], Write] = {}
        self._known: set[str] = set()  # targets that are out in the store, too
        self._failed = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what others know, and share from now on."""
        self._health.shared = self
        await self.sync()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="share breakers")

    async def close(self) -> None:
        """Store what waits, and stop sharing."""
        if self._health.shared is self:
            self._health.shared = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self.sync()

    def opened(self, target: TargetHealth) -> None:
        """Take note that the breaker of a target was opened here, or for longer."""
        self._later(target, "breaker", partial(self._trip, target.name, target.breaker.recovery_s))

    def closed(self, target: TargetHealth) -> None:
        """Take note that the breaker of a target was closed here."""
        self._later(target, "breaker", partial(self._store.reset, target.name))

    def rests(self, target: TargetHealth, seconds: float) -> None:
        """Take note that nothing is left of a limit of a target."""
        self._later(target, "limits", partial(self._store.rest, target.name, seconds))

    async def may_probe(self, target: TargetHealth) -> bool:
        """Return whether this process may find out whether a target is healthy; another one may be doing it."""
        try:
            return await self._store.probe(target.name, PROBE_S)
        except StoreFault:
            return True

    async def sync(self) -> None:
        """Store what happened here, then read what happened elsewhere."""
        try:
            if self._failed:
                self._store_all()
            for key, write in list(self._waiting.items()):
                await write()
                if self._waiting.get(key) is write:
                    del self._waiting[key]
            outages = await self._store.outages()
        except StoreFault:
            self._failed = True
            self._known.clear()
            return
        self._failed = False
        self._adopt(outages)

    async def _run(self) -> None:
        while True:
            await self.sync()
            self._wake.clear()
            try:
                async with asyncio.timeout(_SHARE_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _later(self, target: TargetHealth, what: str, write: Write) -> None:
        self._waiting[target.name, what] = write
        self._wake.set()

    async def _trip(self, name: str, recovery_s: float) -> None:
        await self._store.trip(name, recovery_s)
        self._known.add(name)

    def _store_all(self) -> None:
        """Store again which targets are out: the store may have lost it."""
        now_s = self._now()
        for target in self._health.all():
            if target.breaker.state == "open":
                left_s = max(target.breaker.retry_s - now_s, 1.0)
                self._waiting.setdefault((target.name, "breaker"), partial(self._trip, target.name, left_s))

    def _adopt(self, outages: Mapping[str, Outage]) -> None:
        """Let the targets here be as they are elsewhere, unless something happened here meanwhile."""
        now_s = self._now()
        for target in self._health.all():
            outage = outages.get(target.name, Outage())
            if outage.rest_s:
                self._health.rest(target, outage.rest_s, now_s, from_shared=True)
            if (target.name, "breaker") in self._waiting:
                continue
            if outage.recovery_s:
                self._known.add(target.name)
                target.breaker.adopt_open(now_s, outage.retry_s, outage.recovery_s)
            elif target.name in self._known:
                self._known.discard(target.name)
                target.breaker.adopt_closed()
