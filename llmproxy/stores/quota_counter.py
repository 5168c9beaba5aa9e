"""The arithmetic of one counter, for the stores that count in Python: in memory and on disk.

Redis does the same in Lua (`redis_quotas.py`); one suite of tests holds all of them to it. Begin reading at
`take_from`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmproxy.stores.quotas import SLOTS, Quota, Settlement, Taken

_ROUNDING = 1 + 1e-9  # sums of fractions of a cent


class QuotaCounter:
    """The amounts that count: `base` for good, and `sum` in `slots`, parts of a window by number, oldest first."""

    __slots__ = ("base", "newest", "slots", "sum", "warned")

    def __init__(self) -> None:
        self.base = 0.0
        self.sum = 0.0
        self.newest = 0
        self.slots: dict[int, float] = {}
        self.warned = False

    @property
    def idle(self) -> bool:
        """Return whether nothing counts."""
        return not self.slots and not self.base

    def advance(self, slot: int) -> None:
        """Forget what is out of the window that ends with `slot`. After a clock that was moved back all counts as of
        now: it must lock out nobody for longer than a window."""
        slots, first = self.slots, slot - SLOTS
        if self.newest > slot + 1:
            self.slots, self.newest = {slot: self.sum}, slot
        elif self.newest < first:
            slots.clear()
            self.sum = 0.0
        else:
            while (oldest := next(iter(slots))) < first:
                self.sum -= slots.pop(oldest)

    def add(self, slot: int, amount: float) -> int:
        """Add to `slot`, or to a later one that is there already. Return which."""
        if slot < self.newest and self.slots:
            slot = self.newest
        self.slots[slot] = self.slots.get(slot, 0.0) + amount
        self.newest = slot
        self.sum += amount
        return slot

    def settle(self, settlement: Settlement, slot: int) -> None:
        """Put what was charged in place of what was taken; `slot` is that of now."""
        charged = settlement.charged
        if settlement.quota.kind == "total":
            self.base += charged
            charged = 0.0
        before = self.slots.get(settlement.slot) if settlement.slot >= slot - SLOTS else None
        if before is not None:
            after = before + charged - settlement.taken
            if after < 0.0:
                after = 0.0
            self.slots[settlement.slot] = after
            self.sum += after - before
        elif charged > settlement.taken:
            if self.slots:
                self.advance(slot)
            self.add(slot, charged - settlement.taken)

    def wait_s(self, missing: float, now_s: float, window_s: float) -> float:
        """Return when `missing` is free: parts end with the slot in which they leave the window."""
        for slot, amount in self.slots.items():
            missing -= amount
            if missing <= 1e-9:
                return (slot + SLOTS + 1) * window_s / SLOTS - now_s
        return math.inf


def take_from(
    counters: Sequence[QuotaCounter], quotas: Sequence[Quota], amounts: Sequence[float], now_s: float
) -> Taken:
    """Take amounts from the counters of the quotas, or nothing, as `QuotaStore.take` does."""
    taken = Taken(used=[], slots=[])
    used, slots = taken.used, taken.slots
    for index, quota in enumerate(quotas):
        counter = counters[index]
        slot = int(now_s * quota.slots_per_s)
        if counter.newest != slot and counter.slots:
            counter.advance(slot)
        slots.append(slot)
        total = counter.base + counter.sum + amounts[index]
        used.append(total)
        if total > quota.limit * _ROUNDING:
            _exceeded(taken, index, quota, counter, total - quota.limit, now_s)
        if counter.base >= quota.warn_at and not counter.warned:
            counter.warned = True
            taken.warnings = (*taken.warnings, index)
    if taken.refused >= 0:
        taken.used = [each - amount for each, amount in zip(used, amounts, strict=True)]
        return taken
    _add_all(counters, slots, amounts)
    return taken


def _add_all(counters: Sequence[QuotaCounter], slots: list[int], amounts: Sequence[float]) -> None:
    """Add to the counters, and note in which slots that was."""
    for index, amount in enumerate(amounts):
        if amount:
            counter, slot = counters[index], slots[index]
            if counter.newest == slot and slot in counter.slots:  # the usual case, without a call
                counter.slots[slot] += amount
                counter.sum += amount
            else:
                slots[index] = counter.add(slot, amount)


def _exceeded(taken: Taken, index: int, quota: Quota, counter: QuotaCounter, missing: float, now_s: float) -> None:
    """Note that a quota has not enough. Of several that refuse, the one counts that frees what is missing last."""
    if not quota.refuses:
        taken.over = (*taken.over, index)
        return
    wait_s = counter.wait_s(missing, now_s, quota.window_s)
    if taken.refused < 0 or wait_s > taken.wait_s:
        taken.refused, taken.wait_s, taken.settled = index, wait_s, counter.base
