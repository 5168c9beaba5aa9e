"""Write the rest of a limit as clients of messages expect it, and read it as its vendor reports it.

Source: docs.anthropic.com/en/api/rate-limits (Response headers). Subscriptions have `unified` limits, whose resets are
numbers of seconds since 1970 and which say `rejected` in place of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmproxy.dialects.limit_headers import LimitStatus
from llmproxy.dialects.limit_readings import LimitReading, LimitTable, read_amount, read_reset
from llmproxy.wire.timestamp import format_timestamp

_PREFIX = "anthropic-ratelimit-"
_UNIFIED = "unified"
_FIELDS = ("limit", "remaining", "reset")


def write_limit_headers(statuses: Sequence[LimitStatus], now_s: float) -> tuple[tuple[str, str], ...]:
    """Return the headers for these limits; `now_s` is the wall clock."""
    return tuple(
        pair
        for status in statuses
        for pair in (
            (f"anthropic-ratelimit-{status.kind}-limit", str(status.limit)),
            (f"anthropic-ratelimit-{status.kind}-remaining", str(status.remaining)),
            (f"anthropic-ratelimit-{status.kind}-reset", _time(now_s + status.reset_s)),
        )
    )


def _time(unix_s: float) -> str:
    return f"{format_timestamp(float(-(-unix_s // 1)))[:19]}Z"


def read_vendor_limits(fields: Mapping[str, str], now_s: float) -> list[LimitReading]:
    """Read the headers with which the vendor says what is left. `fields` are headers with names in lower case; `now_s`
    is the wall clock."""
    table = LimitTable()
    for name, value in fields.items():
        if not name.startswith(_PREFIX):
            continue
        kind, _, field = name[len(_PREFIX) :].rpartition("-")
        if kind.startswith(_UNIFIED):
            _add_unified(table, kind, field, value, now_s)
        elif field in _FIELDS:
            table.add(kind, field, read_reset(value, now_s) if field == "reset" else read_amount(value))
    return table.readings()


def _add_unified(table: LimitTable, kind: str, field: str, value: str, now_s: float) -> None:
    """Add what is known of a limit of a subscription: `unified` is all of them, `unified-5h` one."""
    match field:
        case "status" if value == "rejected" and kind == _UNIFIED:
            table.add(kind, "remaining", 0.0)
        case "utilization":
            used = read_amount(value)
            table.add(kind, "limit", 1.0)
            table.add(kind, "remaining", None if used is None else max(round(1.0 - used, 3), 0.001))
        case "reset":
            table.add(kind, "reset", read_reset(value, now_s))
        case _:
            pass
