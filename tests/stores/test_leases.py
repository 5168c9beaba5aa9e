"""What a worker holds ends with it."""

from __future__ import annotations

from llmproxy.stores.breakers import OutageRow
from llmproxy.stores.leases import LeasedBreakers, LeasedQuotas
from llmproxy.stores.memory_breakers import MemoryBreakers
from llmproxy.stores.memory_quotas import MemoryQuotas
from llmproxy.stores.quotas import Quota, Settlement

PLACES = Quota(key="places", kind="running", limit=5)
MINUTE = Quota(key="minute", kind="window", limit=5, per_s=60)


async def test_places_of_a_worker_that_is_gone_are_free_and_only_those() -> None:
    quotas = MemoryQuotas(10)
    gone, other = LeasedQuotas(quotas), LeasedQuotas(quotas)
    for each in (gone, gone, other):
        await each.take([MINUTE, PLACES], [1, 1])
    ended = await gone.take([PLACES], [1])
    gone.settle([Settlement(PLACES, ended.slots[0], 1)])
    refused = await gone.take([PLACES], [4])
    assert refused.refused == 0
    await gone.close()
    await gone.close()
    assert (await quotas.take([MINUTE, PLACES], [0, 0])).used == [3, 1], "what was done stays counted"


async def test_a_probe_of_a_worker_that_is_gone_has_failed() -> None:
    now_s, rows = 0.0, dict[str, OutageRow]()
    breakers = MemoryBreakers(lambda: now_s, rows)
    gone, other = LeasedBreakers(breakers), LeasedBreakers(breakers)
    for target in ("probed", "well", "out again"):
        await gone.trip(target, 30.0)
    await gone.rest("probed", 5.0)
    now_s = 31.0
    for target in ("probed", "well", "out again"):
        assert await gone.probe(target, 120.0) and not await other.probe(target, 120.0)
    assert await gone.probe("never out", 120.0)
    await gone.reset("well")
    await gone.trip("out again", 600.0)
    await gone.close()
    outages = await other.outages()
    assert {name: each.retry_s for name, each in outages.items()} == {"probed": 30.0, "out again": 600.0}
    now_s = 62.0
    assert await other.probe("probed", 120.0)
