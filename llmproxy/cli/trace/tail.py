"""Follows a directory of traces: new exchanges as they end, and below them, on a terminal, running ones.

Begin reading at `TraceTail.run`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from llmproxy.cli.client import PageError, as_number, fetch_page, object_at, objects_in
from llmproxy.cli.output import print_line
from llmproxy.cli.tables import Row, TableColumn, render_table, text_cell
from llmproxy.cli.trace.directory import server_writing_to
from llmproxy.cli.trace.json_output import escape_json
from llmproxy.cli.trace.rows import DIM, EntryTable
from llmproxy.console.formatting import format_age, sanitize
from llmproxy.records.entry import Entry
from llmproxy.records.filters import EntryFilter
from llmproxy.records.trace_reader import TraceReader
from llmproxy.settings import format_size

_POLL_S = 0.25
_RESIZE_S = 0.1
# The intervals for asking a server, and for looking for one.
_ASK_S, _SEARCH_S = 0.5, 3.0
_MOST_RUNNING = 8
_MOST_RECENT = 200  # rows that are drawn again when the window is resized


class RunningExchanges:
    """Running exchanges of the server that writes into `directory`, once there is one.

    A thread of its own asks the server: one that hangs holds up nothing. The thread ends with the process.
    """

    def __init__(self, directory: str) -> None:
        self.exchanges: Sequence[Mapping[str, Any]] = ()
        self._directory = directory
        self._thread = threading.Thread(target=self._look, name="running", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _look(self) -> None:
        while True:
            url = server_writing_to(self._directory)
            if url is None:
                time.sleep(_SEARCH_S)
                continue
            try:
                while True:
                    self.exchanges = objects_in(object_at(fetch_page(url, "/stats"), "running").get("exchanges"))
                    time.sleep(_ASK_S)
            except PageError:
                self.exchanges = ()
                time.sleep(_ASK_S)


class TraceTail:
    """Prints entries that match `matches`: as JSON with `as_json`, else as a table, coloured where `console` can."""

    def __init__(self, traces: TraceReader, console: Console, matches: EntryFilter, *, as_json: bool) -> None:
        self._traces = traces
        self._console = console
        self._matches = matches
        self._json = as_json
        self._rows: EntryTable | None = None
        self._recent: deque[Entry] = deque(maxlen=_MOST_RECENT)

    def run(self, count: int, *, follow: bool) -> None:
        """Print the last `count`, and with `follow` new ones, until it is interrupted."""
        if follow:
            self._traces.skip()
        newest = self.newest(count)
        self._show_new(newest)
        if not follow:
            return
        if not newest:
            print(f"llmproxy: waiting for exchanges in {sanitize(self._traces.directory)}", file=sys.stderr)
        if self._json or not self._console.is_terminal or self._console.is_dumb_terminal:
            while True:
                time.sleep(_POLL_S)
                self._show_new(self._new())
        self._live(RunningExchanges(self._traces.directory))

    def newest(self, count: int) -> list[Entry]:
        """Return the newest entries that match; reads more records until there are enough."""
        limit = count
        while count:
            records = self._traces.last(limit)
            matching = [each.entry for each in records if self._matches(each.entry)]
            if len(matching) >= count or len(records) < limit:
                return matching[-count:]
            limit *= 8
            self._traces.faults.clear()
        return []

    def _new(self) -> list[Entry]:
        return [each.entry for each in self._traces.follow() if self._matches(each.entry)]

    def _live(self, running: RunningExchanges) -> None:
        running.start()
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._below(running.exchanges), refresh=True)
                width, height = self._console.size
                self._wait((width, height))
                if self._console.width != width:
                    self._redraw(height)
                self._show_new(self._new())

    def _wait(self, size: tuple[int, int]) -> None:
        """Wait until the next look, or until the window is resized."""
        end_s = time.monotonic() + _POLL_S
        while (left_s := end_s - time.monotonic()) > 0 and self._console.size == size:
            time.sleep(min(left_s, _RESIZE_S))

    def _below(self, exchanges: Sequence[Mapping[str, Any]]) -> Group:
        width, height = self._console.size
        most = max(1, min(_MOST_RUNNING, height - 4))
        lines = render_table(_RUNNING, exchanges[:most], width)[1:]
        if len(exchanges) > most:
            lines.append(Text(f"and {len(exchanges) - most} more in flight", style=DIM))
        return Group(*([Text("in flight:", style=DIM), *lines] if lines else []))

    def _redraw(self, height: int) -> None:
        """Print the last rows once more, at the width that the window has now."""
        self._console.clear()  # the terminal has wrapped the old lines
        self._show(list(self._recent)[-height:])

    def _show_new(self, entries: Sequence[Entry]) -> None:
        self._recent.extend(entries)
        self._show(entries)

    def _show(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if self._json:
                print(escape_json(msgspec.json.encode(entry).decode(), sys.stdout.encoding))
                continue
            resized = self._rows is None or self._rows.width != self._console.width
            if self._rows is None or resized:
                self._rows = EntryTable(self._console.width, entries, growing=True)
            if self._rows.grow(entry) or resized:
                print_line(self._console, self._rows.head())
            print_line(self._console, self._rows.row(entry))
        sys.stdout.flush()


def _status(exchange: Row) -> str:
    status = as_number(exchange.get("status"))
    return "waiting" if status is None else f"{status:g}"


def _sent(exchange: Row) -> str:
    sent = as_number(exchange.get("sent_bytes"))
    return format_size(int(sent)) if sent else ""


_RUNNING = (
    TableColumn("age", lambda row: format_age(as_number(row.get("age_ms")))),
    TableColumn("id", lambda row: text_cell(row.get("id"))[:6], least=6),
    TableColumn("status", _status, least=3),
    TableColumn("model", lambda row: text_cell(row.get("model") or row.get("path")), least=18, enough=24),
    TableColumn("provider", lambda row: text_cell(row.get("provider")), least=8, enough=9, rank=2),
    TableColumn("sent", _sent, rank=1),
    TableColumn("who", lambda row: text_cell(row.get("session") or row.get("client")), least=8, enough=8, rank=3),
)
