from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, Group

from llmproxy.cli.trace.totals import render_totals, sum_entries
from tests.support.records import entry


def test_figures_are_exact_and_unknown_stays_unknown() -> None:
    usage = {"input": 100, "output": 7, "cache_read": 50, "cache_write": None, "reasoning": None}
    entries = [
        entry(number, duration_ms=float(number), usage=usage if number == 100 else None) for number in range(1, 101)
    ]
    entries.append(entry(101, duration_ms=1.0, model="other", provider=None, status=500, outcome="error", usage=None))
    found = sum_entries(entries)
    big, small = found["models"]
    assert (big["provider"], big["model"], big["requests"], big["failed"]) == ("openai", "gpt-4o", 100, 0)
    assert big["duration_ms"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert big["tokens"] == {"input": 100, "output": 7, "cache_read": 50, "cache_write": None, "reasoning": None}
    assert (small["provider"], small["model"], small["error_rate"]) == (None, "other", 1.0)
    assert small["tokens"]["input"] is None
    assert found["total"]["requests"] == 101
    assert (found["first"], found["last"]) == (entries[0].started, entries[-1].started)


def test_nothing_is_no_mistake() -> None:
    total = sum_entries([])["total"]
    assert total["requests"] == 0 and total["error_rate"] is None and total["duration_ms"]["p50"] is None


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_table_fits(width: int) -> None:
    entries = [entry(1, model="x" * 200), entry(2, provider="日本\x1b[31m" * 20, status=500), entry(3)]
    out = StringIO()
    Console(file=out, width=width).print(Group(*render_totals(sum_entries(entries), width)))
    lines = out.getvalue().splitlines()
    assert len(lines) == 5 and "\x1b" not in out.getvalue()
    assert all("p50" in line or "ms" in line for line in lines)
    assert lines[-1].startswith("all")


@pytest.mark.parametrize("width", [80, 100])
def test_cached_tokens_have_a_column(width: int) -> None:
    usage = {"input": 1300, "output": 85, "cache_read": 1200, "cache_write": None, "reasoning": None}
    head, row = render_totals(sum_entries([entry(1, usage=usage)]), width)
    assert "cached" in head.plain and " 1.2k " in row.plain


@pytest.mark.parametrize("width", [80, 100])
def test_costs_are_added_up_and_unknown_ones_counted(width: int) -> None:
    found = sum_entries([entry(1, cost_usd=0.25), entry(2, cost_usd=0.5), entry(3, attempts=[{"provider": "openai"}])])
    assert (found["total"]["cost_usd"], found["total"]["cost_unknown"]) == (0.75, 1)
    head, *_, total = render_totals(found, width)
    assert " cost " in head.plain and " $0.7500 " in total.plain
