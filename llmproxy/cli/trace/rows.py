"""Formats entries as table rows, with the columns that fit a width; the least important are left out first.

Formatted by hand rather than with rich's Table, since a tail prints one row at a time and all must line up. Used by
`trace tail` and `trace ls`. Begin reading at `EntryTable`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from rich.text import Text

from llmproxy.cli.tables import fit_cell
from llmproxy.console.formatting import (
    format_cost,
    format_duration,
    format_model,
    format_provider,
    format_status,
    format_tokens,
    sanitize,
)
from llmproxy.dialects.model import Usage
from llmproxy.records.entry import Entry

RED, YELLOW, DIM = "red", "yellow", "dim"


class EntryColumn(NamedTuple):
    """A column: `width` is its minimum, `most` its maximum. The column with the highest `rank` is left out first.

    `narrow` returns a shorter form of the value for cells that it does not fit.
    """

    title: str
    width: int
    rank: int
    value: Callable[[Entry], str]
    right: bool = False
    most: int = 0
    narrow: Callable[[Entry], str] | None = None


def _clock(entry: Entry, form: str) -> str:
    """Return the local time, or the text itself when it is not a time."""
    try:
        return datetime.fromisoformat(entry.started).astimezone().strftime(form)
    except ValueError:
        return entry.started


def _time(entry: Entry) -> str:
    return _clock(entry, "%H:%M:%S")


def _date_and_time(entry: Entry) -> str:
    return _clock(entry, "%m-%d %H:%M:%S")


def _note(entry: Entry) -> str:
    """Return the error, else the number of attempts, else the session or the client."""
    if entry.error is not None:
        return f"{entry.error.code}: {entry.error.message}"
    if len(entry.attempts) > 1:
        return f"{len(entry.attempts)} attempts"
    if entry.thread is not None:
        return f"{entry.session} thread {entry.thread}"
    return entry.session or entry.client.name or entry.client.address


def _few_tokens(entry: Entry) -> str:
    """Return the tokens without the cached ones."""
    usage = entry.usage
    return format_tokens(None if usage is None else Usage(input=usage.input, output=usage.output))


TIME = EntryColumn("time", 8, 2, _time)
DATE = EntryColumn("time", 14, 2, _date_and_time)
NOTE = EntryColumn("session, client, error", 14, 9, _note, most=200)
_NOTE_WIDTH = 40
TOKENS = EntryColumn("tokens", 11, 5, lambda entry: format_tokens(entry.usage), right=True, most=30, narrow=_few_tokens)
COLUMNS = (
    EntryColumn("id", 6, 4, lambda entry: entry.id[:6]),
    EntryColumn("status", 8, 0, format_status, most=14),
    EntryColumn("model", 18, 1, format_model, most=36),
    EntryColumn("provider", 9, 6, format_provider, most=16),
    TOKENS,
    EntryColumn("cost", 8, 11, lambda entry: format_cost(entry.cost_usd), right=True),
    EntryColumn("first", 6, 7, lambda entry: format_duration(entry.first_token_ms), right=True),
    EntryColumn("total", 6, 3, lambda entry: format_duration(entry.duration_ms), right=True),
    EntryColumn("path", 20, 10, lambda entry: entry.path, most=28),
    NOTE,
)
_GAP = 1


class EntryTable:
    """Rows of one width, all in line. `dates` adds dates to times."""

    def __init__(self, width: int, *, dates: bool = False) -> None:
        self.width = width
        self._columns = _fitting(width, [DATE if dates else TIME, *COLUMNS])

    def head(self) -> Text:
        """Return the titles."""
        return self._line([column.title for column in self._columns], DIM)

    def row(self, entry: Entry) -> Text:
        """Return one exchange; failed ones are red, cancelled ones yellow."""
        style = RED if entry.failed else YELLOW if entry.outcome == "cancelled" else ""
        return self._line([_cell(column, entry, width) for column, width in self._columns.items()], style)

    def _line(self, cells: list[str], style: str) -> Text:
        texts = [
            fit_cell(sanitize(cell), width, right=column.right)
            for cell, (column, width) in zip(cells, self._columns.items(), strict=True)
        ]
        return Text((" " * _GAP).join(texts).rstrip(), style=style, no_wrap=True, overflow="crop")


def _cell(column: EntryColumn, entry: Entry, width: int) -> str:
    value = column.value(entry)
    return value if column.narrow is None or len(value) <= width else column.narrow(entry)


def _fitting(width: int, columns: list[EntryColumn]) -> dict[EntryColumn, int]:
    """Return the columns that fit, with their widths."""
    kept = columns
    while sum(column.width + _GAP for column in kept) - _GAP > width and len(kept) > 1:
        last = max(kept, key=lambda column: column.rank)
        kept = [column for column in kept if column is not last]
    spare = width - sum(column.width + _GAP for column in kept) + _GAP
    widths = {column: column.width for column in kept}
    # The note is the last column and grows last, but it gets a useful width first, and tokens their longer form.
    for column, most in [(NOTE, _NOTE_WIDTH), (TOKENS, TOKENS.most), *((column, column.most) for column in kept)]:
        if column in widths:
            more = max(0, min(spare, most - widths[column]))
            widths[column] += more
            spare -= more
    return widths
