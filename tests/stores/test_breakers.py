"""Which targets are out, in every store: what one process says is so for all."""

from __future__ import annotations

import asyncio

from llmproxy.stores.breakers import Outage, OutageRow
from tests.stores.conftest import MakeBreakers


async def test_a_target_is_out_for_all_until_it_is_taken_back(make_breakers: MakeBreakers) -> None:
    here, there = await make_breakers(), await make_breakers()
    assert await there.outages() == {}
    await here.trip("one/m", 30.0)
    outage = (await there.outages())["one/m"]
    assert 0 < outage.retry_s <= 30 and outage.recovery_s == 30 and outage.rest_s == 0
    assert not await there.probe("one/m", 5.0)
    await here.reset("one/m")
    assert await there.outages() == {} and await there.probe("one/m", 5.0)


async def test_one_probe_is_made_at_a_time_whoever_asks(make_breakers: MakeBreakers) -> None:
    here, there = await make_breakers(), await make_breakers()
    await here.trip("one", 0.001)
    await asyncio.sleep(0.01)
    asked = await asyncio.gather(*(each.probe("one", 60.0) for _ in range(5) for each in (here, there)))
    assert sum(asked) == 1
    assert 0 < (await here.outages())["one"].retry_s <= 60
    await there.trip("one", 60.0)
    assert not await here.probe("one", 60.0)


async def test_a_target_at_its_limit_rests_for_all_apart_from_its_breaker(make_breakers: MakeBreakers) -> None:
    here, there = await make_breakers(), await make_breakers()
    await here.rest("one", 20.0)
    await here.trip("two", 30.0)
    await here.rest("two", 40.0)
    await here.reset("two")
    outages = await there.outages()
    assert {name: round(each.rest_s, -1) for name, each in outages.items()} == {"one": 20, "two": 40}
    assert all(each.recovery_s == 0 for each in outages.values())


def test_a_probe_that_nobody_ends_is_over_in_time() -> None:
    row = OutageRow()
    row.trip(100.0, 30.0)
    assert (
        not row.probe(129.9, 60.0) and row.probe(130.0, 60.0) and not row.probe(189.9, 60.0) and row.probe(190.0, 60.0)
    )
    row.reset()
    assert row.outage(200.0) == Outage()
