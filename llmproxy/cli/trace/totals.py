"""`trace stats`: totals of entries by provider and model. All entries are read, so the percentiles are exact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from llmproxy.cli.trace.rows import RED
from llmproxy.console.formatting import format_cost, format_count, format_duration, sanitize
from llmproxy.metrics.tokens import TokenCounters, sum_costs
from llmproxy.records.entry import Entry

# The width of the numbers in a line: durations, requests, failures and cost; more for each kind of token. A narrow
# table has cached tokens in place of the time to the first token.
_NUMBERS, _NUMBER, _LEAST_NAME, _PROVIDER, _WIDE = 53, 8, 18, 20, 100
_TIMES = ("p50", "p95", "p99", "first")
_COUNTED = (("in", "input"), ("out", "output"), ("cached", "cache_read"), ("reasoning", "reasoning"))


@dataclass(slots=True, kw_only=True)
class _Group(TokenCounters):
    """Totals of a group of exchanges. Tokens are None until an entry has a number."""

    requests: int = 0
    failed: int = 0
    cancelled: int = 0
    durations_ms: list[float] = field(default_factory=list)
    first_tokens_ms: list[float] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        self.requests += 1
        self.failed += entry.failed
        self.cancelled += entry.outcome == "cancelled"
        self.durations_ms.append(entry.duration_ms)
        if entry.first_token_ms is not None:
            self.first_tokens_ms.append(entry.first_token_ms)
        self.add_usage(entry.usage)
        self.add_cost(entry.cost_usd, unknown=entry.cost_unknown)

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "error_rate": round(self.failed / self.requests, 6) if self.requests else None,
            "tokens": dict(self.tokens),
            **sum_costs([self]),
            "duration_ms": _percentiles(self.durations_ms),
            "first_token_ms": _percentiles(self.first_tokens_ms),
        }


def sum_entries(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the totals of all `entries`, and by provider and model. Times are milliseconds; unknown is null."""
    groups: dict[tuple[str, str], _Group] = {}
    total = _Group()
    first = last = None
    for entry in entries:
        key = (entry.provider or "", entry.model or "")
        groups.setdefault(key, _Group()).add(entry)
        total.add(entry)
        first = entry.started if first is None else min(first, entry.started)
        last = entry.started if last is None else max(last, entry.started)
    models = [
        {"provider": provider or None, "model": model or None, **group.as_json()}
        for (provider, model), group in sorted(groups.items(), key=lambda each: -each[1].requests)
    ]
    return {"first": first, "last": last, "total": total.as_json(), "models": models}


def totals_table(totals: dict[str, Any], width: int) -> Table:
    """Return the totals as a table of at most `width` columns, with the sum last."""
    wide = width >= _WIDE
    kinds, times = (_COUNTED, _TIMES) if wide else (_COUNTED[:3], _TIMES[:3])
    numbers = _NUMBERS if wide else _NUMBERS - _NUMBER
    room = max(_LEAST_NAME, width - numbers - _NUMBER * len(kinds))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("provider", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for title in ("requests", "failed", *(title for title, _ in kinds), "cost", *times):
        table.add_column(title, justify="right", no_wrap=True)
    rows = [(row["provider"] or "-", row["model"] or "-", row) for row in totals["models"]]
    if len(rows) > 1:
        rows.append(("all", "", totals["total"]))
    for provider, model, row in rows:
        names = [_name(provider, min(_PROVIDER, room // 3)), _name(model, room * 2 // 3)]
        table.add_row(*names, *_cells(row, [kind for _, kind in kinds], len(times)))
    return table


def _name(name: str, width: int) -> Text:
    text = Text(sanitize(name))
    text.truncate(width, overflow="ellipsis")
    return text


def _cells(row: dict[str, Any], kinds: list[str], times: int) -> list[Text | str]:
    tokens, took, first = row["tokens"], row["duration_ms"], row["first_token_ms"]
    durations = [*(format_duration(took[name]) for name in ("p50", "p95", "p99")), format_duration(first["p50"])]
    return [
        format_count(row["requests"]),
        Text(format_count(row["failed"]), style=RED if row["failed"] else ""),
        *(format_count(tokens[kind]) for kind in kinds),
        format_cost(row["cost_usd"]),
        *durations[:times],
    ]


def _percentiles(values: list[float]) -> dict[str, float | None]:
    """Return percentiles by nearest rank."""
    ordered = sorted(values)
    return {f"p{share}": ordered[-(-len(ordered) * share // 100) - 1] if ordered else None for share in (50, 95, 99)}
