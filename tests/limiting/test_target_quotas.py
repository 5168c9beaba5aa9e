"""Configured limits of targets, as calls take and settle them."""

from __future__ import annotations

import pytest

from llmproxy.call import Call
from llmproxy.limiting.target_quotas import TargetQuotas
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory_quotas import MemoryQuotas
from llmproxy.target import Target, TargetLimit
from tests.support.targets import Line, Moody


def limited(**limits: int) -> tuple[Line, Target]:
    line = Line(Moody("one"), limit=TargetLimit(**limits))
    return line, line.targets[0]


async def test_calls_at_a_time_are_freed_when_a_call_ends() -> None:
    line, target = limited(concurrent=1)
    quotas = TargetQuotas()
    wait_s, taking = await quotas.take(line.exchange(), target)
    assert wait_s == 0.0 and taking is not None
    assert (await quotas.take(line.exchange(), target))[1] is None
    call = Call(target=target, model=None)
    quotas.attach(call, taking)
    call.settle_once(5)
    call.settle_once(5)
    assert (await quotas.take(line.exchange(), target))[1] is not None


@pytest.mark.parametrize(("used", "fits"), [(None, False), (0, True), (900, True), (1000, False)])
async def test_the_tokens_that_were_used_count_in_place_of_those_expected(used: int | None, fits: bool) -> None:
    line, target = limited(tpm=1000)
    quotas = TargetQuotas()
    small = line.exchange(max_tokens=1, messages=[{"role": "user", "content": "x" * 100}])
    large = line.exchange(max_tokens=400, messages=[{"role": "user", "content": "x" * 4000}])
    _, taking = await quotas.take(large, target)
    assert taking is not None
    call = Call(target=target, model=None)
    quotas.attach(call, taking)
    call.settle_once(used)
    assert ((await quotas.take(small, target))[1] is not None) is fits


async def test_this_process_counts_alone_while_the_store_does_not_answer() -> None:
    class Broken(MemoryQuotas):
        async def take(self, quotas: object, amounts: object) -> object:  # type: ignore[override]  # it never returns
            raise StoreFault("gone")

    line, target = limited(rpm=1)
    quotas = TargetQuotas(Broken(10))
    assert (await quotas.take(line.exchange(), target))[1] is not None
    wait_s, taking = await quotas.take(line.exchange(), target)
    assert taking is None and 59 <= wait_s <= 61
    assert target.health is not None
    (reading,) = target.health.limits.current(0.0)
    assert (reading.kind, reading.limit, reading.remaining) == ("rpm", 1, 0)
