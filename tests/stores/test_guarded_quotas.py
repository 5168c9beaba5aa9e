from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.guarded_quotas import GuardedQuotas
from llmproxy.stores.quotas import Quota, QuotaStore, Settlement, Taken
from tests.support.waiting import PATIENCE_S

QUOTA = Quota(key="q", kind="window", limit=1, per_s=60)


class Slow(QuotaStore):
    """A store that answers once `gate` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.settled: list[Settlement] = []

    async def take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> Taken:
        await self.gate.wait()
        return Taken(used=[*amounts], slots=[0] * len(amounts))

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self.settled += settlements


async def turn() -> None:
    await asyncio.sleep(0.001)


async def test_a_slow_store_is_left_alone_until_it_answers_again() -> None:
    slow = Slow()
    guarded = GuardedQuotas(slow, "the slow store", timeout_s=0.01, first_rest_s=0.001)
    await guarded.start()
    assert (await guarded.take([QUOTA], [1])).used == [1]
    slow.gate.clear()
    with pytest.raises(StoreFault):
        await guarded.take([QUOTA], [1])
    assert (guarded.available, bool(guarded.fault_reason)) == (False, True)
    guarded.settle([Settlement(quota=QUOTA, slot=0, taken=1)])
    slow.gate.set()
    async with asyncio.timeout(PATIENCE_S):
        while not guarded.available:
            await turn()

    assert (await guarded.take([QUOTA], [1])).used == [1]
    assert len(slow.settled) == 1, "it keeps what is to be settled itself"
    await guarded.close()
