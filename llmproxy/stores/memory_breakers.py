"""Targets that are out, in this process: the facet `BreakerStore` of the store in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from llmproxy.stores.breakers import BreakerStore, Outage, OutageRow


class MemoryBreakers(BreakerStore):
    """Targets in a dictionary, that of `rows`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, rows: dict[str, OutageRow] | None = None) -> None:
        self._clock = clock
        self._rows: dict[str, OutageRow] = {} if rows is None else rows

    async def trip(self, target: str, recovery_s: float) -> None:
        self._row(target).trip(self._clock(), recovery_s)

    async def probe(self, target: str, lease_s: float) -> bool:
        return self._row(target).probe(self._clock(), lease_s)

    async def reset(self, target: str) -> None:
        self._row(target).reset()

    async def rest(self, target: str, seconds: float) -> None:
        self._row(target).rest_until_s = self._clock() + seconds

    async def outages(self) -> Mapping[str, Outage]:
        now_s = self._clock()
        found = {name: row.outage(now_s) for name, row in self._rows.items()}
        return {name: each for name, each in found.items() if each.recovery_s or each.rest_s}

    def _row(self, target: str) -> OutageRow:
        return self._rows.setdefault(target, OutageRow())
