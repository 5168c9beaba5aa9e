"""Formats limits and budgets of the page `/stats` for a console. The page may come from another version: missing values
are dashes. Begin reading at `limit_lists`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from llmproxy.cli.client import as_number, as_text, object_at, objects_in
from llmproxy.cli.tables import RED, WARNING, Row, TableColumn, count_cell, parse_timestamp, text_cell
from llmproxy.console.formatting import UNKNOWN, format_cost, format_duration

_LEAST_NAME = 8
_MONEY = ("cost", "budget")
_NEARLY = 0.8
_CENT = 0.01


def limit_lists(page: Row, now_s: float | None) -> Iterator[tuple[str, tuple[TableColumn, ...], list[Row]]]:
    """Yield title, columns and rows of limits and of budgets, the most used first. `now_s` is the time of the
    server."""
    limits = object_at(page, "limits")
    yield "limits", _LIMITS, list(objects_in(limits.get("limits")))
    yield "budgets", _BUDGETS, [{**row, "now_s": now_s} for row in objects_in(limits.get("budgets"))]


def nearly_used(row: Row) -> bool:
    """Return whether little or nothing of a limit is left."""
    used, limit = as_number(row.get("used")), as_number(row.get("limit"))
    return bool(limit) and used is not None and used >= _NEARLY * (limit or 0)


def _name(row: Row) -> str:
    """Return the rule of a row, and whose counter it is."""
    scope, of, key = as_text(row.get("scope")), as_text(row.get("of")), as_text(row.get("key"))
    everybody = f"key {key}" if key else "all"
    whose = everybody if scope == "global" else f"{scope or UNKNOWN} {of or UNKNOWN}"
    return f"{text_cell(row.get('rule'))}, {text_cell(whose, 40)}"


def _amount(name: str) -> TableColumn:
    return TableColumn(name, lambda row: _amount_text(row, name))


def _amount_text(row: Row, name: str) -> Text:
    value, limit = as_number(row.get(name)), as_number(row.get("limit"))
    if value is None:
        return Text(UNKNOWN)
    text = _money(value) if row.get("kind") in _MONEY else count_cell(value)
    used = as_number(row.get("used"))
    if name == "left" and limit and used is not None and nearly_used(row):
        return Text(text, style=RED if used >= limit else WARNING)
    if name == "forecast" and limit and value > limit:
        return Text(text, style=RED)
    return Text(text)


def _money(value: float) -> str:
    return format_cost(value) if 0 < value < _CENT else f"${value:,.2f}"


def _window(row: Row) -> str:
    seconds = as_number(row.get("window_seconds"))
    return UNKNOWN if seconds is None else format_duration(seconds * 1000)


def _resets(row: Row) -> str:
    ends_s, now_s = parse_timestamp(row.get("resets")), as_number(row.get("now_s"))
    return UNKNOWN if ends_s is None or now_s is None else format_duration(max(ends_s - now_s, 0.0) * 1000)


_WHAT = TableColumn("what", _name, least=_LEAST_NAME)
_LIMITS = (_WHAT, _amount("used"), _amount("left"), TableColumn("window", _window))
_BUDGETS = (_WHAT, _amount("used"), _amount("left"), TableColumn("resets in", _resets), _amount("forecast"))
