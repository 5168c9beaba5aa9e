"""Read what a provider says of its limits in the headers of an answer: how much is left, and when it is there again.

Whatever cannot be read counts as unknown, and so does what is negative: providers send all kinds of values. Most have
OpenAI's names, in one of several forms; a dialect whose vendor has others reads those. Begin reading at
`read_usual_limits`.

Sources: platform.openai.com/docs/guides/rate-limits, learn.microsoft.com/azure (Azure OpenAI quotas, where resets are
numbers of seconds), console.groq.com/docs/rate-limits, draft-ietf-httpapi-ratelimit-headers-07.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

_DURATION = re.compile(
    r"(?:(?P<d>\d{1,6})d)?(?:(?P<h>\d{1,6})h)?(?:(?P<m>\d{1,6})m(?!s))?(?:(?P<s>\d{1,12}(?:\.\d{1,9})?)s)?"
    r"(?:(?P<ms>\d{1,12}(?:\.\d{1,9})?)ms)?"
)
_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LONGEST = 40
_DATES_FROM_S = 1e9  # larger numbers are times of the clock: no limit lasts for 31 years
_DATES_FROM_MS = 1e12
_FIELDS = {"limit": 0, "remaining": 1, "reset": 2}


class LimitReading(msgspec.Struct, frozen=True, kw_only=True):
    """One limit as a provider reports it, as far as it is known; all of it is there again in `reset_s` seconds."""

    kind: str
    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None

    @property
    def used_up_s(self) -> float | None:
        """Return for how long nothing is left; None where something is, or one of both is unknown."""
        return self.reset_s if self.remaining == 0 else None


class LimitTable:
    """Collects the readings of one answer, by their kind."""

    def __init__(self) -> None:
        self._rows: dict[str, list[float | None]] = {}

    def add(self, kind: str, field: str, value: float | None) -> None:
        """Add what a header says: the `limit`, what is `remaining`, or the `reset`."""
        if value is not None:
            self._rows.setdefault(kind[:_LONGEST], [None, None, None])[_FIELDS[field]] = value

    def readings(self) -> list[LimitReading]:
        """Return a reading for each kind."""
        return [
            LimitReading(kind=kind, limit=limit, remaining=remaining, reset_s=reset_s)
            for kind, (limit, remaining, reset_s) in self._rows.items()
        ]


def read_usual_limits(fields: Mapping[str, str], now_s: float) -> list[LimitReading]:
    """Read `x-ratelimit-remaining-requests` and the like. `fields` are headers with names in lower case; `now_s` is the
    wall clock."""
    table = LimitTable()
    for name, value in fields.items():
        field, _, kind = name.removeprefix("x-").removeprefix("ratelimit-").partition("-")
        if field in _FIELDS and name.startswith(("x-ratelimit-", "ratelimit-")):
            read = read_reset(value, now_s) if field == "reset" else read_amount(value)
            table.add(kind or "requests", field, read)
    return table.readings()


def read_amount(value: str) -> float | None:
    """Return a finite number of 0 or more; None for anything else."""
    try:
        number = float(value) if len(value) < _LONGEST else -1.0
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def read_reset(value: str, now_s: float) -> float | None:
    """Return the seconds until a reset that is a duration (`1m12.5s`, `6ms`), a number of seconds, a time of the clock
    in seconds or milliseconds, or a date (RFC 3339); None for anything else, and for times that are over."""
    text = value.strip()
    seconds = read_amount(text)
    if seconds is None:
        seconds = _read_duration(text)
    elif seconds >= _DATES_FROM_S:
        seconds = (seconds / 1000 if seconds >= _DATES_FROM_MS else seconds) - now_s
    if seconds is None:
        seconds = _until(text, now_s)
    return None if seconds is None or seconds < 0 else seconds


def _read_duration(text: str) -> float | None:
    match = _DURATION.fullmatch(text[:_LONGEST]) if text else None
    if match is None:
        return None
    return sum(float(number) * _UNITS_S[unit] for unit, number in match.groupdict().items() if number is not None)


def _until(text: str, now_s: float) -> float | None:
    """Return the seconds until a date in RFC 3339."""
    try:
        moment = datetime.fromisoformat(text[:_LONGEST])
        return moment.timestamp() - now_s if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
