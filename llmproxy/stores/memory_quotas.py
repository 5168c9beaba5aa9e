"""Counters in this process: the facet `QuotaStore` of the store in memory.

Windows go by the monotonic clock, so that nobody is locked out or let in when the wall clock is set.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from llmproxy.stores.quota_counter import QuotaCounter, take_from
from llmproxy.stores.quotas import DAY_S, Quota, QuotaStore, Settlement, Taken

_FIRST_SWEEP = 4096


class _RunningCounter(QuotaCounter):
    """Counts what runs in this process, which ends with it: nothing leaves with time."""

    __slots__ = ()

    @property
    def idle(self) -> bool:
        return not self.sum

    def advance(self, slot: int) -> None:
        return

    def add(self, slot: int, amount: float) -> int:
        return super().add(0, amount)

    def settle(self, settlement: Settlement, slot: int) -> None:
        super().settle(settlement, 0)


class QuotaTable:
    """Counters by key: those that clients choose in the order of their last use, and all others."""

    __slots__ = ("chosen", "ends", "others", "sweep_at")

    def __init__(self) -> None:
        self.chosen: OrderedDict[str, QuotaCounter] = OrderedDict()
        self.others: dict[str, QuotaCounter] = {}
        self.ends: dict[str, float] = {}  # of the periods of totals, by the wall clock
        self.sweep_at = _FIRST_SWEEP


class MemoryQuotas(QuotaStore):
    """Counters in dictionaries, those of `table`. `clock` is monotonic, `wall_clock` ends the periods of totals."""

    def __init__(
        self,
        max_counters: int,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        table: QuotaTable | None = None,
    ) -> None:
        self._max_counters = max_counters
        self._clock = clock
        self._wall_clock = wall_clock
        self._table = QuotaTable() if table is None else table

    async def take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> Taken:
        others, counter = self._table.others, self._counter
        counters = [others.get(quota.key) or counter(quota) for quota in quotas]
        return take_from(counters, quotas, amounts, self._clock())

    def settle(self, settlements: Sequence[Settlement]) -> None:
        others, now_s = self._table.others, self._clock()
        for each in settlements:
            counter = others.get(each.quota.key) or self._counter(each.quota)
            counter.settle(each, int(now_s * each.quota.slots_per_s))

    def _counter(self, quota: Quota) -> QuotaCounter:
        table, key = self._table, quota.key
        if quota.chosen:
            counter = table.chosen.get(key)
            if counter is None:
                return self._new(quota)
            table.chosen.move_to_end(key)
            return counter
        return table.others.get(key) or self._new(quota)

    def _new(self, quota: Quota) -> QuotaCounter:
        table = self._table
        counter = _RunningCounter() if quota.kind == "running" else QuotaCounter()
        if quota.chosen:
            table.chosen[quota.key] = counter
            while len(table.chosen) > self._max_counters:
                table.chosen.popitem(last=False)
            return counter
        table.others[quota.key] = counter
        if quota.kind == "total":
            table.ends[quota.key] = quota.ends_s
        if len(table.others) > table.sweep_at:
            self._sweep()
        return counter

    def _sweep(self) -> None:
        """Remove the counters of periods that are long over: keys and budgets come and go with the configuration."""
        table, over_s = self._table, self._wall_clock() - 2 * DAY_S
        for key in [key for key, ends_s in table.ends.items() if ends_s < over_s]:
            del table.ends[key]
            del table.others[key]
        for key in [key for key, counter in table.others.items() if counter.idle and key not in table.ends]:
            del table.others[key]
        table.sweep_at = max(2 * len(table.others), _FIRST_SWEEP)
