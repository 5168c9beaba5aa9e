"""Formats entries as table rows, with the columns that fit a width; the least important are left out first.

A column has the width that its values need, and is left out where it has none. The row of a failed exchange holds its
error in place of the last columns. Formatted by hand rather than with rich's Table, since a tail prints one row at a
time and all must line up. Used by `trace tail`, `trace ls` and `trace show --session`. Begin reading at `EntryTable`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from llmproxy.cli.tables import fit_cell
from llmproxy.console.formatting import (
    UNKNOWN,
    format_cost,
    format_duration,
    format_error,
    format_provider,
    format_short,
    format_short_model,
    format_status,
    sanitize,
)
from llmproxy.records.entry import Entry
from llmproxy.wire.timestamp import format_timestamp

RED, MAGENTA, DIM = "red", "magenta", "dim"


class EntryColumn(NamedTuple):
    """A column that grows with its values from `least` to `most` columns of the console; `usual` is what most of them
    need. The column with the highest `rank` is left out first. `value` returns "" where there is none.
    """

    title: str
    least: int
    most: int
    rank: int
    value: Callable[[Entry], str]
    right: bool = False
    usual: int = 0


def _clock(entry: Entry, form: str) -> str:
    """Return the local time, or the text itself when it is not a time."""
    try:
        return datetime.fromisoformat(entry.started).astimezone().strftime(form)
    except ValueError:
        return entry.started


def _time(entry: Entry) -> str:
    return _clock(entry, "%H:%M:%S")


def _day_and_minute(entry: Entry) -> str:
    return _clock(entry, "%m-%d %H:%M")


def _day_and_time(entry: Entry) -> str:
    return _clock(entry, "%m-%d %H:%M:%S")


def _known(text: str) -> str:
    return "" if text == UNKNOWN else text


def _tokens(kind: str) -> Callable[[Entry], str]:
    def count(entry: Entry) -> str:
        if entry.usage is None:
            return ""
        number = {"in": entry.usage.input, "cached": entry.usage.cache_read or None, "out": entry.usage.output}[kind]
        return _known(format_short(number))

    return count


def _status(entry: Entry) -> str:
    """Return the status alone where an error says more."""
    if entry.outcome == "cancelled":
        return "left"
    return format_status(entry) if entry.error is None or entry.status is None else str(entry.status)


def _model(entry: Entry) -> str:
    """Return the model; the call where there is none."""
    model = _known(format_short_model(entry))
    return model or f"{entry.method} {entry.path}"


def _client(entry: Entry) -> str:
    """Return the name of the client, else its address, of a program on this machine what it calls itself."""
    client = entry.client
    if client.name or client.address not in LOOPBACK:
        return client.name or client.address
    return client.agent.partition("/")[0]


def _session(entry: Entry) -> str:
    thread = "" if entry.thread is None else f" thread {entry.thread}"
    return f"{entry.session or ''}{thread}"


def _cost(entry: Entry) -> str:
    return format_cost(entry.cost_usd) if entry.cost_usd else ""


LOOPBACK = ("127.0.0.1", "::1")
_WIDE = 100  # from this width on there is room for seconds beside a date
_TIME = EntryColumn("time", 8, 8, 2, _time)
_DATE = EntryColumn("time", 11, 11, 2, _day_and_minute)
_WIDE_DATE = EntryColumn("time", 14, 14, 2, _day_and_time)
_COLUMNS = (
    EntryColumn("id", 6, 6, 4, lambda entry: entry.id[:6]),
    EntryColumn("status", 6, 14, 0, _status),
    EntryColumn("took", 6, 7, 3, lambda entry: format_duration(entry.duration_ms), right=True),
    EntryColumn("model", 18, 48, 1, _model, usual=24),
    EntryColumn("provider", 9, 16, 8, lambda entry: _known(format_provider(entry)), usual=9),
    EntryColumn("client", 10, 15, 12, _client, usual=10),
    EntryColumn("session", 8, 44, 10, _session, usual=12),
    EntryColumn("in", 5, 7, 5, _tokens("in"), right=True),
    EntryColumn("cached", 6, 7, 7, _tokens("cached"), right=True),
    EntryColumn("out", 4, 7, 6, _tokens("out"), right=True),
    EntryColumn("cost", 8, 10, 9, _cost, right=True),
    EntryColumn("first", 6, 7, 11, lambda entry: _known(format_duration(entry.first_token_ms)), right=True),
    EntryColumn(
        "tries", 5, 5, 13, lambda entry: str(len(entry.attempts)) if len(entry.attempts) > 1 else "", right=True
    ),
    EntryColumn("path", 12, 28, 14, lambda entry: entry.path),
)
_GAP, _STEP = 1, 8
_CORE = 8
"""Columns of a higher rank come only where those up to this one are not cut, not before `_UNCUT` columns."""
_UNCUT = 30
_BEFORE_ERROR = {"time": 0, "id": 0, "status": 0, "took": 0, "model": 28, "provider": 28, "client": 40, "session": 40}
"""An error begins behind the last of these columns that leaves it so much room."""


class EntryTable:
    """Rows of one width, all in line: columns and widths are those that the values of `entries` need. `dates` adds
    dates to times. A `growing` table has room for usual values from the start, and rows that `grow` makes room for.
    """

    def __init__(
        self, width: int, entries: Iterable[Entry] = (), *, dates: bool = False, growing: bool = False
    ) -> None:
        self.width = width
        date = _WIDE_DATE if width >= _WIDE else _DATE
        self._all = [date if dates else _TIME, *_COLUMNS]
        self._needs = [max(column.least, column.usual) if growing else 0 for column in self._all]
        if cells := [[column.value(entry) for column in self._all] for entry in entries]:
            needs = [_need(column, values) for column, values in zip(self._all, zip(*cells, strict=True), strict=True)]
            self._needs = [max(each) for each in zip(self._needs, needs, strict=True)]
        self._columns = _fitting(width, self._all, self._needs)

    def head(self) -> Text:
        """Return the titles."""
        titles = [(column.title, width, column.right) for column, width in self._columns.items()]
        return self._line([_fit(*each) for each in titles], DIM)

    def grow(self, entry: Entry) -> bool:
        """Make room for the values of one more entry. Return whether that moved columns, so that a head is due."""
        found = [_need(column, [column.value(entry)]) for column in self._all]
        needs = [_grown(*each) for each in zip(self._all, self._needs, found, strict=True)]
        if needs == self._needs:
            return False
        before, self._needs = self._columns, needs
        self._columns = _fitting(self.width, self._all, needs)
        return before != self._columns

    def row(self, entry: Entry) -> Text:
        """Return one exchange; failed ones are red, cancelled ones magenta."""
        style = RED if entry.failed else MAGENTA if entry.outcome == "cancelled" else ""
        columns = list(self._columns.items())
        drawn_columns = columns if entry.error is None else columns[: self._error_place()]
        cells = [_fit(column.value(entry), width, column.right) for column, width in drawn_columns]
        if entry.error is not None:
            used = sum(width + _GAP for _, width in drawn_columns)
            cells.append(_fit(format_error(entry.error), max(self.width - used, 0), False))
        return self._line(cells, style)

    def _line(self, cells: list[str], style: str) -> Text:
        return Text((" " * _GAP).join(cells).rstrip(), style=style, no_wrap=True, overflow="crop")

    def _error_place(self) -> int:
        """Return before which column an error begins."""
        place = used = 0
        for number, (column, width) in enumerate(self._columns.items(), 1):
            used += width + _GAP
            least = _BEFORE_ERROR.get(column.title)
            if least is not None and (not least or self.width - used >= least):
                place = number
        return place


def of_other_days(entries: Iterable[Entry]) -> bool:
    """Return whether an entry is from another day than this one, in UTC as they are."""
    today = format_timestamp(time.time())[:10]
    return any(entry.started[:10] != today for entry in entries)


def _fit(value: str, width: int, right: bool) -> str:
    return fit_cell(sanitize(value), width, right=right) if width else ""


def _grown(column: EntryColumn, need: int, found: int) -> int:
    """Return the width for a value that needs `found`: text grows in steps, so that columns seldom move."""
    if found <= need or column.right:
        return max(need, found)
    return min(-(-found // _STEP) * _STEP, max(column.most, found))


def _need(column: EntryColumn, values: Sequence[str]) -> int:
    """Return the width that the values need; 0 without any."""
    widest = max(len(value) if value.isascii() else cell_len(sanitize(value)) for value in values)
    return min(max(widest, len(column.title)), max(column.most, len(column.title))) if widest else 0


def _fitting(width: int, columns: Sequence[EntryColumn], needs: Sequence[int]) -> dict[EntryColumn, int]:
    """Return the columns that fit, with their widths: as they need it, from the most important on."""
    needed = {column: need for column, need in zip(columns, needs, strict=True) if need}
    least = {column: need if column.right else min(need, column.least) for column, need in needed.items()}
    kept = [column for column in needed if column.rank <= _CORE]
    while _total(least[column] for column in kept) > width and len(kept) > 1:
        kept.remove(max(kept, key=lambda column: column.rank))
    used = _total(min(needed[column], _UNCUT) for column in kept)
    for column in sorted(needed, key=lambda column: column.rank):
        if column.rank > _CORE and used + _GAP + least[column] <= width:
            kept.append(column)
            used += _GAP + least[column]
    widths = {column: least[column] for column in needed if column in kept}
    spare = width - _total(widths.values())
    for column in sorted(kept, key=lambda column: column.rank):
        more = max(0, min(spare, needed[column] - widths[column]))
        widths[column] += more
        spare -= more
    return widths


def _total(widths: Iterable[int]) -> int:
    return sum(width + _GAP for width in widths) - _GAP
