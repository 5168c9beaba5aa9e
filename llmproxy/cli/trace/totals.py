"""`trace stats`: totals of entries by provider and model. All entries are read, so the percentiles are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from llmproxy.cli.tables import Row, TableColumn, render_table
from llmproxy.cli.trace.rows import RED
from llmproxy.console.formatting import format_cost, format_count, format_duration, format_short, sanitize
from llmproxy.metrics.tokens import TokenCounters, sum_costs
from llmproxy.records.entry import Entry


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
        key = (entry.provider or ("cache" if entry.cache == "hit" else ""), entry.model or "")
        groups.setdefault(key, _Group()).add(entry)
        total.add(entry)
        first = entry.started if first is None else min(first, entry.started)
        last = entry.started if last is None else max(last, entry.started)
    models = [
        {"provider": provider or None, "model": model or None, **group.as_json()}
        for (provider, model), group in sorted(groups.items(), key=lambda each: -each[1].requests)
    ]
    return {"first": first, "last": last, "total": total.as_json(), "models": models}


def render_totals(totals: dict[str, Any], width: int) -> list[Text]:
    """Return the totals as lines of at most `width` columns, with the sum last."""
    rows = [dict(row) for row in totals["models"]]
    if len(rows) > 1:
        rows.append({**totals["total"], "provider": "all"})
    return render_table(_COLUMNS, rows, width)


def _model(row: Row) -> str:
    """Return the model; nothing in the row of all."""
    return sanitize(row["model"] or "(no model)") if "model" in row else ""


def _tokens(kind: str) -> Callable[[Row], str]:
    return lambda row: format_short(row["tokens"][kind] or None)


def _took(percentile: str) -> Callable[[Row], str]:
    return lambda row: format_duration(row["duration_ms"][percentile])


_COLUMNS = (
    TableColumn("provider", lambda row: sanitize(row["provider"] or "(none)"), least=7),
    TableColumn("model", _model, least=18),
    TableColumn("requests", lambda row: format_count(row["requests"])),
    TableColumn("failed", lambda row: Text(format_count(row["failed"]) if row["failed"] else "", style=RED)),
    TableColumn("in", _tokens("input")),
    TableColumn("cached", _tokens("cache_read")),
    TableColumn("out", _tokens("output")),
    TableColumn("reasoning", _tokens("reasoning"), 120),
    TableColumn("cost", lambda row: format_cost(row["cost_usd"]) if row["cost_usd"] else ""),
    TableColumn("p50", _took("p50")),
    TableColumn("p95", _took("p95"), 90),
    TableColumn("p99", _took("p99"), 120),
    TableColumn("first", lambda row: format_duration(row["first_token_ms"]["p50"]), 100),
)


def _percentiles(values: list[float]) -> dict[str, float | None]:
    """Return percentiles by nearest rank."""
    ordered = sorted(values)
    return {f"p{share}": ordered[-(-len(ordered) * share // 100) - 1] if ordered else None for share in (50, 95, 99)}
