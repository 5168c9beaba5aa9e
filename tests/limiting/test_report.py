from __future__ import annotations

from llmproxy.limit import Budget, Limit
from llmproxy.limiting.plan import SeenCounter
from llmproxy.limiting.report import MAX_ROWS, report
from llmproxy.limiting.rules import Rule
from llmproxy.stores.memory_quotas import MemoryQuotas
from llmproxy.stores.quotas import Settlement

NOON_S = 1_700_049_600.0  # 2023-11-15 12:00 UTC
DAY = Rule(Budget(max_cost=100, period="day"))
TOTAL = Rule(Budget(max_cost=100, period="total"), "key ci")
MINUTE = Rule(Limit(kind="requests", amount=10, per_s=60, scope="model"))


async def test_what_is_used_left_and_forecast_is_shown() -> None:
    quotas = MemoryQuotas(100)
    counters = [
        SeenCounter(rule=rule, quota=rule.quota(name, NOON_S), subject=name)
        for rule, name in ((DAY, ""), (TOTAL, "ci"), (MINUTE, "gpt-4o"))
    ]
    await quotas.take([counters[2].quota], [4])
    quotas.settle([Settlement(quota=each.quota, slot=0, taken=0, charged=30) for each in counters[:2]])
    shown = await report([DAY, TOTAL, MINUTE], counters, quotas, NOON_S)

    assert shown["limits"] == [
        {
            "rule": "10 requests per minute",
            "kind": "requests",
            "scope": "model",
            "of": "gpt-4o",
            "key": None,
            "used": 4,
            "limit": 10,
            "left": 6,
            "window_seconds": 60.0,
        }
    ]
    budgets = shown["budgets"]
    assert isinstance(budgets, list)
    assert [(row["used"], row["left"], row["forecast"], row["resets"], row["key"]) for row in budgets] == [
        (30, 70, 60, "2023-11-16T00:00:00.000000Z", None),
        (30, 70, None, None, "ci"),
    ]


async def test_counters_of_past_periods_are_left_out() -> None:
    quotas = MemoryQuotas(100)
    yesterday = SeenCounter(rule=DAY, quota=DAY.quota("", NOON_S - 86400), subject="")

    assert (await report([DAY], [yesterday], quotas, NOON_S))["budgets"] == []


async def test_the_most_used_of_many_counters_are_shown() -> None:
    quotas = MemoryQuotas(1000)
    counters = [SeenCounter(rule=MINUTE, quota=MINUTE.quota(str(n), NOON_S), subject=str(n)) for n in range(300)]
    await quotas.take([counters[250].quota], [1])
    rows = (await report([MINUTE], counters, quotas, NOON_S))["limits"]

    assert isinstance(rows, list)
    assert (len(rows), rows[0]["of"]) == (MAX_ROWS, "250")


async def test_reading_counts_nothing_and_uses_up_no_warning() -> None:
    quotas = MemoryQuotas(100)
    counter = SeenCounter(rule=DAY, quota=DAY.quota("", NOON_S), subject="")
    quotas.settle([Settlement(quota=counter.quota, slot=0, taken=0, charged=90)])
    await report([DAY], [counter], quotas, NOON_S)

    assert list((await quotas.take([counter.quota], [0.0])).warnings) == [0]
