"""Ends what a worker holds when it is gone: the places of its running requests, and its probes of targets.

A worker that ends well ends them itself. These stand before the facets of a memory store, one for each worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmproxy.stores.breakers import BreakerStore, Outage
from llmproxy.stores.quotas import Quota, QuotaStore, Settlement, Taken


class LeasedQuotas(QuotaStore):
    """The counters of `inner`, for one worker."""

    def __init__(self, inner: QuotaStore) -> None:
        self._inner = inner
        self._running: dict[tuple[str, int], tuple[Quota, float]] = {}  # by the key of a counter and its slot

    async def take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> Taken:
        taken = await self._inner.take(quotas, amounts)
        if taken.refused < 0:
            for index, quota in enumerate(quotas):
                if quota.kind == "running":
                    self._hold(quota, taken.slots[index], amounts[index])
        return taken

    def settle(self, settlements: Sequence[Settlement]) -> None:
        for each in settlements:
            if each.quota.kind == "running":
                self._hold(each.quota, each.slot, -each.taken)
        self._inner.settle(settlements)

    def _hold(self, quota: Quota, slot: int, amount: float) -> None:
        _, held = self._running.pop((quota.key, slot), (quota, 0.0))
        if held + amount > 0:
            self._running[quota.key, slot] = quota, held + amount

    async def close(self) -> None:
        """Give back what still runs."""
        running, self._running = self._running, {}
        self._inner.settle([Settlement(quota, slot, amount) for (_, slot), (quota, amount) in running.items()])


class LeasedBreakers(BreakerStore):
    """The targets of `inner`, for one worker."""

    def __init__(self, inner: BreakerStore) -> None:
        self._inner = inner
        self._probed: set[str] = set()

    async def trip(self, target: str, recovery_s: float) -> None:
        self._probed.discard(target)
        await self._inner.trip(target, recovery_s)

    async def probe(self, target: str, lease_s: float) -> bool:
        may = await self._inner.probe(target, lease_s)
        if may:
            self._probed.add(target)
        return may

    async def reset(self, target: str) -> None:
        self._probed.discard(target)
        await self._inner.reset(target)

    async def rest(self, target: str, seconds: float) -> None:
        await self._inner.rest(target, seconds)

    async def outages(self) -> Mapping[str, Outage]:
        return await self._inner.outages()

    async def close(self) -> None:
        """Count the probes that this worker did not finish as failed."""
        outages = await self._inner.outages()
        for target in self._probed & outages.keys():
            if outages[target].recovery_s:
                await self._inner.trip(target, outages[target].recovery_s)
