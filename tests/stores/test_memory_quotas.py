from __future__ import annotations

from llmproxy.stores.memory_quotas import MemoryQuotas, QuotaTable
from llmproxy.stores.quotas import DAY_S, LEASE_S, Quota
from tests.stores.conftest import Clock


async def test_what_runs_in_this_process_counts_however_long_it_takes(clock: Clock) -> None:
    quotas = MemoryQuotas(10, clock, clock)
    running = Quota(key="r", kind="running", limit=1)
    await quotas.take([running], [1])
    clock.now_s += 100 * LEASE_S

    assert (await quotas.take([running], [1])).refused == 0


async def test_counters_of_periods_that_are_long_over_are_removed(clock: Clock) -> None:
    table = QuotaTable()
    quotas = MemoryQuotas(10, clock, clock, table)
    for day in range(5000):
        ended = Quota(key=f"d{day}", kind="total", limit=1, ends_s=clock.now_s + DAY_S)
        await quotas.take([ended], [0.5])
        clock.now_s += DAY_S

    assert len(table.others) < 4200
    assert table.others.keys() == table.ends.keys()


async def test_two_users_of_one_table_count_together(clock: Clock) -> None:
    table = QuotaTable()
    quota = Quota(key="m", kind="window", limit=1, per_s=60)
    results = [await MemoryQuotas(10, clock, clock, table).take([quota], [1]) for _ in range(2)]

    assert [result.refused for result in results] == [-1, 0]
