from __future__ import annotations

import random

from llmproxy.stores.quota_counter import QuotaCounter, take_from
from llmproxy.stores.quotas import SLOTS, Quota, Settlement

MINUTE = Quota(key="m", kind="window", limit=10, per_s=60)


def test_a_counter_keeps_no_more_than_the_parts_of_its_window() -> None:
    counter, chance, now_s = QuotaCounter(), random.Random(1), 1000.0
    for _ in range(5000):
        now_s += chance.random()
        take_from([counter], [MINUTE], [0.1], now_s)

    assert len(counter.slots) <= SLOTS + 2
    assert abs(counter.sum - sum(counter.slots.values())) < 1e-6


def test_a_settlement_never_leaves_less_than_nothing() -> None:
    counter = QuotaCounter()
    slot = counter.add(5, 3)
    counter.settle(Settlement(quota=MINUTE, slot=slot, taken=99, charged=1), 5)

    assert (counter.sum, counter.slots) == (0, {5: 0})


def test_a_counter_is_idle_when_nothing_counts() -> None:
    counter = QuotaCounter()
    assert counter.idle
    counter.add(1, 1)
    assert not counter.idle
    counter.advance(1 + SLOTS + 1)
    assert counter.idle
