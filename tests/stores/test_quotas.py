"""What every store of quotas does, whichever it is."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from llmproxy.stores.quotas import DAY_S, LEASE_S, RESERVATION_S, SLOTS, Quota, QuotaStore, Settlement, Taken
from tests.stores.conftest import Clock, MakeQuotas

_TRIES = 2000

MINUTE = Quota(key="minute", kind="window", limit=10, per_s=60)
RUNNING = Quota(key="running", kind="running", limit=2)
MONTH = Quota(key="month", kind="total", limit=100, ends_s=Clock.now_s + 20 * DAY_S, warn_at=80)


async def take(quotas: QuotaStore, quota: Quota, amount: float = 1.0) -> bool:
    return (await quotas.take([quota], [amount])).refused < 0


async def used(quotas: QuotaStore, quota: Quota) -> float:
    return (await quotas.take([quota], [0.0])).used[0]


async def settled(quotas: QuotaStore, quota: Quota, expected: float) -> None:
    """Wait until the counter has this value: what is settled counts soon, not at once."""
    for _ in range(_TRIES):
        if abs(await used(quotas, quota) - expected) < 1e-6:
            return
    raise AssertionError(f"{await used(quotas, quota)} is used, not {expected}")


async def test_a_window_never_has_more_than_its_limit(make_quotas: MakeQuotas, clock: Clock) -> None:
    quotas = await make_quotas()
    chance, times_s = random.Random(4), []
    for _ in range(300):
        clock.now_s += chance.expovariate(0.5)
        if await take(quotas, MINUTE):
            times_s.append(clock.now_s)

    for first, beyond in zip(times_s, times_s[10:], strict=False):
        assert beyond - first >= 60
    assert len(times_s) >= 0.95 * (times_s[-1] - times_s[0]) / 6.06


async def test_a_refused_request_takes_nothing_and_learns_when_to_come_again(
    make_quotas: MakeQuotas, clock: Clock
) -> None:
    quotas = await make_quotas()
    assert await take(quotas, MINUTE, 4)
    clock.now_s += 30
    assert await take(quotas, MINUTE, 6)
    refused = await quotas.take([RUNNING, MINUTE], [1, 3])

    assert refused.refused == 1
    assert 30 <= refused.wait_s <= 30 + 60 / SLOTS
    assert refused.used == [0, 10]
    clock.now_s += refused.wait_s + 0.001
    assert (await quotas.take([RUNNING, MINUTE], [1, 3])).used == [1, 9]


async def test_of_several_that_refuse_the_one_counts_that_takes_longest(make_quotas: MakeQuotas) -> None:
    quotas = await make_quotas()
    hour = Quota(key="hour", kind="window", limit=10, per_s=3600)
    await quotas.take([MINUTE, hour], [10, 10])
    refused = await quotas.take([hour, MINUTE], [1, 1])

    assert refused.refused == 0
    assert 3600 <= refused.wait_s <= 3636


async def test_what_was_really_used_counts_in_place_of_what_was_taken(make_quotas: MakeQuotas, clock: Clock) -> None:
    quotas = await make_quotas()
    first = await quotas.take([MINUTE], [5])
    second = await quotas.take([MINUTE], [4])
    clock.now_s += 10
    quotas.settle([Settlement(quota=MINUTE, slot=first.slots[0], taken=5, charged=2)])
    quotas.settle([Settlement(quota=MINUTE, slot=second.slots[0], taken=4)])

    await settled(quotas, MINUTE, 2)
    clock.now_s += 51
    assert await used(quotas, MINUTE) == 0


async def test_what_is_used_beyond_the_estimate_counts_even_when_the_window_is_over(
    make_quotas: MakeQuotas, clock: Clock
) -> None:
    quotas = await make_quotas()
    taken = await quotas.take([MINUTE], [1])
    clock.now_s += 100
    quotas.settle([Settlement(quota=MINUTE, slot=taken.slots[0], taken=1, charged=31)])

    await settled(quotas, MINUTE, 30)
    assert not await take(quotas, MINUTE)


async def test_what_runs_counts_until_it_is_settled(make_quotas: MakeQuotas) -> None:
    quotas = await make_quotas()
    slots = [(await quotas.take([RUNNING], [1])).slots[0] for _ in range(2)]
    refused = await quotas.take([RUNNING], [1])
    assert (refused.refused, refused.used) == (0, [2])
    quotas.settle([Settlement(quota=RUNNING, slot=slots[1], taken=1)])

    await settled(quotas, RUNNING, 1)
    assert await take(quotas, RUNNING)


async def test_a_total_counts_until_its_end_and_warns_once(make_quotas: MakeQuotas, clock: Clock) -> None:
    quotas, other = await make_quotas(), await make_quotas()
    taken = await quotas.take([MONTH], [50])
    quotas.settle([Settlement(quota=MONTH, slot=taken.slots[0], taken=50, charged=85)])
    await settled(quotas, MONTH, 85)
    clock.now_s += 9 * DAY_S
    warned = [list((await store.take([MONTH], [1])).warnings) for store in (other, quotas)]
    refused = await quotas.take([MONTH], [20])

    assert warned == [[], []], "reading it has warned already"
    assert (refused.refused, refused.settled, refused.used) == (0, 85, [87])


async def test_a_warning_is_for_one_request(make_quotas: MakeQuotas) -> None:
    quotas, other = await make_quotas(), await make_quotas()
    quotas.settle([Settlement(quota=MONTH, slot=0, taken=0, charged=80)])
    warned: list[int] = []
    for _ in range(_TRIES):
        warned = warned or list((await quotas.take([MONTH], [1])).warnings)
    assert warned == [0]
    assert not (await other.take([MONTH], [1])).warnings


async def test_a_reservation_that_is_never_settled_ends(make_quotas: MakeQuotas, clock: Clock) -> None:
    quotas = await make_quotas()
    await quotas.take([MONTH], [60])
    quotas.settle([Settlement(quota=MONTH, slot=0, taken=0, charged=5)])
    await settled(quotas, MONTH, 65)
    clock.now_s += RESERVATION_S * (1 + 2 / SLOTS)

    assert await used(quotas, MONTH) == 5


async def test_a_quota_that_does_not_refuse_says_that_it_is_over(make_quotas: MakeQuotas) -> None:
    quotas = await make_quotas()
    counted = Quota(key="minute", kind="window", limit=10, per_s=60, refuses=False)
    over = [list((await quotas.take([RUNNING, counted], [0, 6])).over) for _ in range(3)]

    assert over == [[], [1], [1]]
    assert await used(quotas, MINUTE) == 18


async def test_a_clock_that_is_set_back_locks_out_nobody_for_longer_than_a_window(
    make_quotas: MakeQuotas, clock: Clock
) -> None:
    quotas = await make_quotas()
    assert await take(quotas, MINUTE, 10)
    clock.now_s -= 3 * DAY_S
    refused = await quotas.take([MINUTE], [1])
    assert refused.refused == 0
    assert refused.wait_s <= 60 + 60 / SLOTS
    clock.now_s += 62

    assert await take(quotas, MINUTE, 10)


async def test_a_clock_that_jumps_ahead_and_back_keeps_the_limit(make_quotas: MakeQuotas, clock: Clock) -> None:
    quotas = await make_quotas()
    assert await take(quotas, MINUTE, 10)
    clock.now_s += DAY_S
    assert await take(quotas, MINUTE, 10)
    clock.now_s -= DAY_S

    assert not await take(quotas, MINUTE)


async def test_fractions_add_up(make_quotas: MakeQuotas) -> None:
    quotas = await make_quotas()
    cents = Quota(key="cents", kind="window", limit=1, per_s=60)
    assert sum([await take(quotas, cents, 0.1) for _ in range(12)]) == 10


@pytest.mark.parametrize("key", ["a:b", "ключ", "a b", "x" * 300, "{tag}", "*"])
async def test_any_text_is_a_key(make_quotas: MakeQuotas, key: str) -> None:
    quotas = await make_quotas()
    assert await take(quotas, Quota(key=key, kind="window", limit=1, per_s=9))
    assert not await take(quotas, Quota(key=key, kind="window", limit=1, per_s=9))
    assert await take(quotas, Quota(key=key + "2", kind="window", limit=1, per_s=9))


async def test_many_at_once_get_no_more_than_the_limit(make_quotas: MakeQuotas) -> None:
    stores = [await make_quotas(), await make_quotas()]
    tight = Quota(key="tight", kind="window", limit=25, per_s=60)
    got = await asyncio.gather(*(take(stores[number % 2], tight) for number in range(100)))

    assert sum(got) == 25


async def test_the_longest_unused_counters_of_clients_are_forgotten(make_quotas: MakeQuotas, clock: Clock) -> None:
    quotas = await make_quotas(4)
    if type(quotas).__name__ == "LoneRedisQuotas":
        pytest.skip("the server bounds itself")
    own = Quota(key="own", kind="window", limit=1, per_s=60)
    assert await take(quotas, own)
    chosen = [Quota(key=f"c{number}", kind="window", limit=1, per_s=60, chosen=True) for number in range(6)]
    for quota in chosen:
        clock.now_s += 0.1
        assert await take(quotas, quota)

    assert not await take(quotas, own)
    assert [await used(quotas, quota) for quota in chosen[4:]] == [1, 1]
    assert await used(quotas, chosen[0]) == 0


def test_taken_by_default_says_that_nothing_refused() -> None:
    assert Taken(used=[], slots=[]).refused == -1


def test_a_counter_is_kept_as_long_as_it_counts() -> None:
    assert MINUTE.keep_s(0) == 120
    assert RUNNING.keep_s(0) == 2 * LEASE_S
    assert MONTH.keep_s(Clock.now_s) == 22 * DAY_S
    assert Quota(key="for ever", kind="total", limit=1).keep_s(0) == math.inf
    assert Quota(key="session", kind="total", limit=1, chosen=True).keep_s(0) == 30 * DAY_S
