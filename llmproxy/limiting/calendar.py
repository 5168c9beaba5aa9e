"""The periods of budgets: days, weeks and months of the calendar in a time zone."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from llmproxy.limit import BudgetPeriod


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """One period of a budget, from `start_s` until `end_s` (wall clock). `name` tells it from the others."""

    name: str
    start_s: float
    end_s: float


_ALWAYS = Period(name="", start_s=-math.inf, end_s=math.inf)


class Calendar:
    """Finds the period of a time. One serves one budget."""

    __slots__ = ("_current", "_period", "_zone")

    def __init__(self, period: BudgetPeriod, timezone: str) -> None:
        self._period = period
        self._zone = ZoneInfo(timezone)
        self._current = Period(name="", start_s=0.0, end_s=0.0)

    def period_at(self, now_s: float) -> Period:
        """Return the period that `now_s` (wall clock) is in."""
        if not self._current.start_s <= now_s < self._current.end_s:
            self._current = self._find(now_s)
        return self._current

    def _find(self, now_s: float) -> Period:
        today = datetime.fromtimestamp(now_s, self._zone).date()
        match self._period:
            case "day":
                return self._between(today, today + timedelta(days=1))
            case "week":
                monday = today - timedelta(days=today.weekday())
                return self._between(monday, monday + timedelta(days=7))
            case "month":
                first = today.replace(day=1)
                return self._between(first, (first + timedelta(days=32)).replace(day=1))
            case "total" | "session":
                return _ALWAYS

    def _between(self, first: date, following: date) -> Period:
        return Period(name=first.isoformat(), start_s=self._midnight(first), end_s=self._midnight(following))

    def _midnight(self, day: date) -> float:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()
