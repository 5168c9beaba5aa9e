from __future__ import annotations

import sqlite3
from pathlib import Path

from llmproxy.stores.quotas import DAY_S, Quota, Settlement
from tests.stores.conftest import Clock
from tests.support.stores import LoneDiskQuotas

MONTH = Quota(key="month", kind="total", limit=100)


async def test_totals_are_there_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "s.sqlite"
    first = LoneDiskQuotas(path, 10, clock)
    await first.start()
    taken = await first.take([MONTH], [30])
    first.settle([Settlement(quota=MONTH, slot=taken.slots[0], taken=30, charged=40)])
    await first.close()
    second = LoneDiskQuotas(path, 10, clock)
    await second.start()

    assert (await second.take([MONTH], [0])).used == [40]
    await second.close()


async def test_rows_that_make_no_sense_count_as_nothing(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "s.sqlite"
    quotas = LoneDiskQuotas(path, 10, clock)
    await quotas.start()
    await quotas.take([MONTH], [30])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE quotas SET base = 'much', slots = '[1'")
    assert (await quotas.take([MONTH], [1])).used == [1]
    await quotas.close()


async def test_counters_that_are_over_are_removed(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "s.sqlite"
    quotas = LoneDiskQuotas(path, 10, clock)
    await quotas.start()
    for number in range(20):
        await quotas.take([Quota(key=f"w{number}", kind="window", limit=1, per_s=60)], [1])
    clock.now_s += DAY_S
    await quotas.take([MONTH], [1])
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT key FROM quotas").fetchall()
    await quotas.close()

    assert rows == [("month",)]
