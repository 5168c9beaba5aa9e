"""`trace tail`: the last exchanges, then each new one, and below them the streams that a running server has in flight.

On a terminal rich keeps the lines in flight at the bottom; in a pipe there are plain lines, written at once. Begin
reading at `tail`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.text import Text

from llmproxy.cli.asking import NoPage, ask, number, rows, table, text
from llmproxy.cli.tracerows import DIM, Rows
from llmproxy.telemetry import servers, showing

if TYPE_CHECKING:
    from llmproxy.telemetry.entry import Entry
    from llmproxy.telemetry.tracefiles import Traces
    from llmproxy.telemetry.tracefilter import Test

LOOK_S = 0.2
# A server is asked for what it has in flight so often, and looked for anew when there is none.
ASK_S, SEARCH_S = 0.5, 5.0
_MOST_IN_FLIGHT = 8
_PIPE_COLUMNS = 200


def tail(traces: Traces, count: int, test: Test, *, follow: bool, as_json: bool) -> None:
    """Print until there is nothing more, or until Ctrl-C."""
    if follow:
        traces.skip()
    last = traces.last(count) if count else []
    entries = [each.entry for each in last if test(each.entry)]
    if as_json or not sys.stdout.isatty():
        _plain(traces, entries, test, follow=follow, as_json=as_json)
    else:
        _terminal(traces, entries, test, follow=follow)


def _plain(traces: Traces, entries: Sequence[Entry], test: Test, *, follow: bool, as_json: bool) -> None:
    width = int(os.environ["COLUMNS"]) if os.environ.get("COLUMNS", "").isdecimal() else _PIPE_COLUMNS
    lines = Rows(width)
    if not as_json:
        print(lines.head().plain, flush=True)
    while True:
        for entry in entries:
            print(msgspec.json.encode(entry).decode() if as_json else lines.row(entry).plain)
        sys.stdout.flush()
        if not follow:
            return
        time.sleep(LOOK_S)
        entries = [each.entry for each in traces.follow() if test(each.entry)]


def _terminal(traces: Traces, entries: Sequence[Entry], test: Test, *, follow: bool) -> None:
    from rich.live import Live

    console = Console(highlight=False, markup=False, soft_wrap=True)
    lines = Rows(console.width)
    console.print(lines.head())
    if not follow:
        for entry in entries:
            console.print(lines.row(entry))
        return
    flight = _InFlight(traces.directory)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            if lines.width != console.width:
                lines = Rows(console.width)
                console.print(lines.head())
            for entry in entries:
                console.print(lines.row(entry))
            live.update(flight.look(console.width), refresh=True)
            time.sleep(LOOK_S)
            entries = [each.entry for each in traces.follow() if test(each.entry)]


class _InFlight:
    """What the server that writes into a directory is answering right now."""

    def __init__(self, directory: str) -> None:
        self._directory = os.path.abspath(directory)
        self._url: str | None = None
        self._asked_s = self._searched_s = float("-inf")
        self._page: dict[str, Any] = {}

    def look(self, width: int) -> Text:
        """A line for each exchange in flight; empty without any, or without a server."""
        now_s = time.monotonic()
        if self._url is None and now_s - self._searched_s >= SEARCH_S:
            self._searched_s = now_s
            found = [each.url for each in servers.running() if self._directory in each.traces]
            self._url = found[0] if found else None
        if self._url is not None and now_s - self._asked_s >= ASK_S:
            self._asked_s = now_s
            try:
                self._page = ask(self._url, "/stats")
            except NoPage:
                self._url, self._page = None, {}
        return self._lines(width)

    def _lines(self, width: int) -> Text:
        running = rows(table(self._page, "running").get("exchanges"))
        lines = [self._line(each, width) for each in running[:_MOST_IN_FLIGHT]]
        if len(running) > _MOST_IN_FLIGHT:
            lines.append(f"  ... and {len(running) - _MOST_IN_FLIGHT} more in flight")
        return Text("\n".join(lines), style=DIM, no_wrap=True, overflow="crop")

    def _line(self, row: Any, width: int) -> str:
        model = text(row.get("model")) or text(row.get("path")) or showing.NOTHING
        sent = number(row.get("sent_bytes")) or 0
        what = "streams" if row.get("stream") else "waits"
        cells = [
            f"  {(text(row.get('id')) or '')[:8]} {what} {showing.duration(number(row.get('age_ms'))):>7}",
            model,
            text(row.get("provider")) or "",
            showing.size(int(sent)) if sent else "nothing sent",
        ]
        return showing.safe("  ".join(each for each in cells if each), max(width - 1, 20))
