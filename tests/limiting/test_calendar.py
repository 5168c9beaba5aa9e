from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from llmproxy.limit import BudgetPeriod
from llmproxy.limiting.calendar import Calendar


def _s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "zone", "now", "name", "start", "end"),
    [
        ("day", "UTC", "2026-11-30T23:59", "2026-11-30", "2026-11-30T00:00", "2026-12-01T00:00"),
        ("day", "Asia/Tokyo", "2026-11-30T16:00", "2026-12-01", "2026-11-30T15:00", "2026-12-01T15:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("week", "UTC", "2026-11-29T10:00", "2026-11-23", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("month", "UTC", "2026-12-31T10:00", "2026-12-01", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "UTC", "2028-02-01T00:00", "2028-02-01", "2028-02-01T00:00", "2028-03-01T00:00"),
    ],
)
def test_periods_are_those_of_the_calendar(
    period: BudgetPeriod, zone: str, now: str, name: str, start: str, end: str
) -> None:
    found = Calendar(period, zone).period_at(_s(now))

    assert (found.name, found.start_s, found.end_s) == (name, _s(start), _s(end))


def test_a_total_never_ends() -> None:
    assert Calendar("total", "UTC").period_at(_s("2026-11-30T10:00")).end_s == math.inf


def test_the_period_follows_the_clock_both_ways() -> None:
    calendar = Calendar("day", "UTC")
    names = [calendar.period_at(_s(day)).name for day in ("2026-11-30", "2026-12-01", "2026-11-30")]

    assert names == ["2026-11-30", "2026-12-01", "2026-11-30"]
