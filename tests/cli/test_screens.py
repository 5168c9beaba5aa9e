"""Each screen as a golden text at 80 and 120 columns: what a person sees of the same traffic, and no line is wrapped.

`python -m tests.cli.test_screens` writes them anew, to look at what a change does to all of them.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from llmproxy.cli.sessions_view import render_sessions
from llmproxy.cli.stats_view import render_stats
from llmproxy.cli.tables import parse_timestamp
from llmproxy.cli.trace.rows import EntryTable
from llmproxy.cli.trace.show import print_record
from llmproxy.cli.trace.totals import render_totals, sum_entries
from llmproxy.console import terminal
from llmproxy.console.lines import ExchangeEnded, LinePrinter
from tests.support.records import record
from tests.support.traffic import SESSIONS_PAGE, STATS_PAGE, agent_turn, entries

GOLDEN = Path(__file__).parent.parent / "golden" / "screens"
WIDTHS = (80, 120)


def _listed(width: int) -> str:
    rows = EntryTable(width, entries(), dates=True)
    return _text([rows.head(), *map(rows.row, entries())])


def _followed(width: int) -> str:
    rows = EntryTable(width, entries()[:3], growing=True)
    lines = [rows.head()]
    for each in entries():
        if rows.grow(each):
            lines.append(rows.head())
        lines.append(rows.row(each))
    return _text(lines)


def _record(width: int) -> str:
    return _captured(lambda console: print_record(console, _agent_turn(), headers=True), width)


def _error(width: int) -> str:
    return _captured(lambda console: print_record(console, _failed()), width)


def _stats(width: int) -> str:
    return _captured(
        lambda console: console.print(render_stats(STATS_PAGE, "http://127.0.0.1:3000", width=width)), width
    )


def _sessions(width: int) -> str:
    now_s = parse_timestamp("2026-01-02T03:10:00Z")
    assert now_s is not None
    return _text(render_sessions(SESSIONS_PAGE, width, now_s))


def _totals(width: int) -> str:
    return _text(render_totals(sum_entries(entries()), width))


def _printed(width: int) -> str:
    """Return what the printer writes on a terminal of that width."""
    console = _Window(width)
    lines = LinePrinter(console, requests=True, responses=True, arrivals=False)
    began_s = parse_timestamp("2026-01-02T03:00:00Z")
    assert began_s is not None
    for number, each in enumerate(entries()):
        lines.write(ExchangeEnded(began_s + number, each, (), None, 0))
    lines.flush()
    return console.written.getvalue()


SCREENS: dict[str, Callable[[int], str]] = {
    "trace-ls": _listed,
    "trace-tail": _followed,
    "trace-show": _record,
    "trace-show-error": _error,
    "trace-stats": _totals,
    "stats": _stats,
    "sessions": _sessions,
    "printer": _printed,
}


class _Window(terminal.Console):
    """A terminal of a width, without colours."""

    def __init__(self, width: int) -> None:
        self.written = io.StringIO()
        super().__init__(self.written, {"NO_COLOR": "1"})
        self.terminal = True
        self._columns = width

    def width(self) -> int:
        return self._columns


def _text(lines: list[Text]) -> str:
    return "".join(f"{line.plain}\n" for line in lines)


def _captured(show: Callable[[Console], None], width: int) -> str:
    from unittest.mock import patch

    out = io.StringIO()
    with patch("sys.stdout", out), patch.dict(os.environ, {"COLUMNS": str(width)}):
        show(Console(file=out, width=width))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _agent_turn() -> Any:
    with tempfile.TemporaryDirectory() as directory:
        return record(Path(directory), **agent_turn())


def _failed() -> Any:
    from tests.support.records import response
    from tests.support.traffic import TRAFFIC

    body = {"error": {"type": "tokens", "code": "rate_limit_exceeded", "message": TRAFFIC[3]["error"]["message"]}}
    with tempfile.TemporaryDirectory() as directory:
        return record(Path(directory), **TRAFFIC[3], finish_reason=None, response=response(body))


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    if os.name != "nt":
        time.tzset()
    yield
    monkeypatch.undo()
    if os.name != "nt":
        time.tzset()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_like_its_golden_text(name: str, width: int) -> None:
    assert SCREENS[name](width) == (GOLDEN / f"{name}-{width}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("name", SCREENS)
def test_no_line_is_wider_than_the_window(name: str, width: int) -> None:
    wide = [line for line in SCREENS[name](width).splitlines() if cell_len(line) > width]
    assert not wide


@pytest.mark.parametrize("name", sorted(set(SCREENS) - {"trace-show", "trace-show-error"}))
def test_what_is_not_known_is_not_drawn(name: str) -> None:
    assert " - " not in SCREENS[name](200)


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    GOLDEN.mkdir(exist_ok=True)
    for screen, draw in SCREENS.items():
        for columns in WIDTHS:
            (GOLDEN / f"{screen}-{columns}.txt").write_text(draw(columns), encoding="utf-8")
