"""Follows a directory of traces: new exchanges as they end, and below them, on a terminal, those that still run.

Begin reading at `Tail.run`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from llmproxy.cli.client import PageError, as_number, as_text, fetch_page, object_at, objects_in
from llmproxy.cli.output import print_line
from llmproxy.cli.trace.directory import server_writing_to
from llmproxy.cli.trace.json_output import escape_json
from llmproxy.cli.trace.rows import DIM, EntryTable
from llmproxy.console.formatting import UNKNOWN, format_duration, sanitize
from llmproxy.records.entry import Entry
from llmproxy.records.filters import EntryFilter
from llmproxy.records.trace_files import TraceReader
from llmproxy.settings import format_size

_LOOK_S = 0.25
_RESIZE_S = 0.1
# A server is asked for what it has in flight so often, and looked for when there is none.
_ASK_S, _SEARCH_S = 0.5, 3.0
_MOST_RUNNING = 8


class RunningExchanges:
    """The exchanges in flight of the server that writes into `directory`, once there is one.

    It is asked in a thread of its own: a server that hangs holds up nothing. The thread ends with the process.
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
    """`wanted` chooses, `as_json` prints entries as they are; otherwise a table, coloured where `console` can."""

    def __init__(self, traces: TraceReader, console: Console, wanted: EntryFilter, *, as_json: bool) -> None:
        self._traces = traces
        self._console = console
        self._wanted = wanted
        self._json = as_json
        self._rows: EntryTable | None = None

    def run(self, count: int, *, follow: bool) -> None:
        """Show the last `count`, and with `follow` what comes, until somebody interrupts."""
        if follow:
            self._traces.skip()
        newest = self.newest(count)
        self._show(newest)
        if not follow:
            return
        if not newest:
            print(f"llmproxy: waiting for exchanges in {sanitize(self._traces.directory)}", file=sys.stderr)
        if self._json or not self._console.is_terminal or self._console.is_dumb_terminal:
            while True:
                time.sleep(_LOOK_S)
                self._show(self._new())
        self._live(RunningExchanges(self._traces.directory))

    def newest(self, count: int) -> list[Entry]:
        """The newest that are wanted; looks at ever more of them until there are enough."""
        asked = count
        while count:
            seen = self._traces.last(asked)
            wanted = [each.entry for each in seen if self._wanted(each.entry)]
            if len(wanted) >= count or len(seen) < asked:
                return wanted[-count:]
            asked *= 8
            self._traces.faults.clear()
        return []

    def _new(self) -> list[Entry]:
        return [found.entry for found in self._traces.follow() if self._wanted(found.entry)]

    def _live(self, running: RunningExchanges) -> None:
        running.start()
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._below(running.exchanges), refresh=True)
                self._wait(self._console.size)
                self._show(self._new())

    def _wait(self, size: tuple[int, int]) -> None:
        """Until it is time to look again, or the window has another size."""
        end_s = time.monotonic() + _LOOK_S
        while (left_s := end_s - time.monotonic()) > 0 and self._console.size == size:
            time.sleep(min(left_s, _RESIZE_S))

    def _below(self, exchanges: Sequence[Mapping[str, Any]]) -> Group:
        width, height = self._console.size
        most = max(1, min(_MOST_RUNNING, height - 4))
        lines = [_running_line(each, width) for each in exchanges[:most]]
        if len(exchanges) > most:
            lines.append(Text(f"and {len(exchanges) - most} more in flight", style=DIM))
        return Group(*([Text("in flight:", style=DIM), *lines] if lines else []))

    def _show(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if self._json:
                print(escape_json(msgspec.json.encode(entry).decode(), sys.stdout.encoding))
                continue
            if self._rows is None or self._rows.width != self._console.width:
                self._rows = EntryTable(self._console.width)
                print_line(self._console, self._rows.head())
            print_line(self._console, self._rows.row(entry))
        sys.stdout.flush()


def _running_line(exchange: Mapping[str, Any], width: int) -> Text:
    """One exchange in flight: how long, model, provider, status, how much was sent, who asked."""
    sent = as_number(exchange.get("sent_bytes"))
    age_ms = as_number(exchange.get("age_ms"))
    who = as_text(exchange.get("session")) or as_text(exchange.get("client")) or ""
    status = as_number(exchange.get("status"))
    cells = [
        f"{format_duration(age_ms):>8}",
        f"{as_text(exchange.get('id')) or '':.6}",
        "waiting " if status is None else f"{status:<8g}",
        f"{as_text(exchange.get('model')) or UNKNOWN:<18}",
        f"{as_text(exchange.get('provider')) or UNKNOWN:<9}",
        f"{format_size(int(sent or 0)):>8}",
        who,
    ]
    line = Text(sanitize(" ".join(cells)), style="cyan", no_wrap=True, overflow="ellipsis")
    line.truncate(width, overflow="ellipsis")
    return line
