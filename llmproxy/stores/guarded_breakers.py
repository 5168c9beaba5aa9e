"""Targets that are out behind a guard: an answer within 50 ms, or a StoreFault (see `guard.py`)."""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.stores.breakers import BreakerStore, Outage
from llmproxy.stores.guard import FIRST_REST_S, TIMEOUT_S, GuardedFacet


class GuardedBreakers(GuardedFacet[BreakerStore], BreakerStore):
    """Targets that are out, behind a guard."""

    def __init__(
        self, inner: BreakerStore, name: str, timeout_s: float = TIMEOUT_S, first_rest_s: float = FIRST_REST_S
    ) -> None:
        super().__init__(inner, name, inner.outages, timeout_s, first_rest_s)

    async def trip(self, target: str, recovery_s: float) -> None:
        await self._guard.run(lambda: self._inner.trip(target, recovery_s), self._guard.timeout_s)

    async def probe(self, target: str, lease_s: float) -> bool:
        return await self._guard.run(lambda: self._inner.probe(target, lease_s), self._guard.timeout_s)

    async def reset(self, target: str) -> None:
        await self._guard.run(lambda: self._inner.reset(target), self._guard.timeout_s)

    async def rest(self, target: str, seconds: float) -> None:
        await self._guard.run(lambda: self._inner.rest(target, seconds), self._guard.timeout_s)

    async def outages(self) -> Mapping[str, Outage]:
        return await self._guard.run(self._inner.outages, self._guard.timeout_s)
