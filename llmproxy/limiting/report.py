"""Limits and budgets as `/stats` shows them: used, left, the next reset, and a forecast.

Begin reading at `report`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from llmproxy.limiting.plan import SeenCounter
from llmproxy.limiting.rules import Rule
from llmproxy.metrics.stats_merge import sum_stats
from llmproxy.stores.quotas import QuotaStore
from llmproxy.wire.text import replace_surrogates
from llmproxy.wire.timestamp import format_timestamp

MAX_ROWS = 100
_AT_ONCE = 50
_LEAST_SHARE = 0.01  # of a period must be over for a forecast
_NAME_LENGTH = 200


async def report(
    rules: Sequence[Rule], counters: Sequence[SeenCounter], quotas: QuotaStore, now_s: float
) -> dict[str, object]:
    """Return the rows of limits and budgets, the most used first. Raises StoreFault."""
    current = [each for each in counters if each.quota.ends_s > now_s]
    used: list[float] = []
    for start in range(0, len(current), _AT_ONCE):
        batch = [
            structs.replace(each.quota, refuses=False, warn_at=math.inf) for each in current[start : start + _AT_ONCE]
        ]
        used += (await quotas.take(batch, [0.0] * len(batch))).used
    rows = sorted(zip(current, used, strict=True), key=lambda row: -row[1] / row[0].rule.limit)[:MAX_ROWS]
    return {
        "limits": [_limit(each, amount) for each, amount in rows if each.rule.kind != "budget"],
        "budgets": [_budget(each, amount, now_s) for each, amount in rows if each.rule.kind == "budget"],
        "rules": [_rule(rule) for rule in rules],
        "refused": sum(rule.refused for rule in rules),
    }


def merge_reports(parts: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Return what `report` returned in several workers as one: all count in the same store, but each lists only the
    counters that it has used lately, and what it did itself."""
    return {
        "limits": _union(row for part in parts for row in part["limits"]),
        "budgets": _union(row for part in parts for row in part["budgets"]),
        "rules": [sum_stats(rows) for rows in zip(*(part["rules"] for part in parts), strict=False)],
        "refused": sum(part["refused"] for part in parts),
    }


def _union(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one row for each counter, the most used first."""
    by_counter: dict[tuple[object, ...], Mapping[str, Any]] = {}
    for row in rows:
        counter = (row["rule"], row["scope"], row["of"], row["key"])
        known = by_counter.get(counter)
        if known is None or known["used"] < row["used"]:
            by_counter[counter] = row
    return sorted(by_counter.values(), key=lambda row: -row["used"] / row["limit"])[:MAX_ROWS]


def _counter(counter: SeenCounter, used: float) -> dict[str, object]:
    rule = counter.rule
    return {
        "rule": rule.text,
        "kind": rule.kind,
        "scope": rule.scope,
        "of": replace_surrogates(counter.subject[:_NAME_LENGTH]) or None,
        "key": rule.owner.removeprefix("key ") or None,
        "used": _rounded(used),
        "limit": rule.limit,
        "left": _rounded(max(rule.limit - used, 0.0)),
    }


def _limit(counter: SeenCounter, used: float) -> dict[str, object]:
    """Return a row of a limit: what was used within its window. All of it is left again after `window_seconds`."""
    return {**_counter(counter, used), "window_seconds": counter.rule.per_s or None}


def _budget(counter: SeenCounter, used: float, now_s: float) -> dict[str, object]:
    rule, ends_s = counter.rule, counter.quota.ends_s
    assert rule.calendar is not None
    starts_s = rule.calendar.period_at(now_s).start_s
    share = (now_s - starts_s) / (ends_s - starts_s) if ends_s < math.inf else 0.0
    return {
        **_counter(counter, used),
        "resets": None if ends_s == math.inf else format_timestamp(ends_s),
        "forecast": _rounded(used / share) if share >= _LEAST_SHARE else None,
    }


def _rule(rule: Rule) -> dict[str, object]:
    """Return what this process did for a rule. `estimated` counts the requests whose usage nobody reported,
    `unpriced` those that cost an unknown amount, which is not counted."""
    return {
        "rule": rule.text,
        "scope": rule.scope,
        "key": rule.owner.removeprefix("key ") or None,
        "refused": rule.refused,
        "estimated": rule.estimated,
        "unpriced": rule.unpriced,
        **({"warned": rule.warned, "rerouted": rule.rerouted} if rule.kind == "budget" else {}),
    }


def _rounded(value: float) -> float:
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded
