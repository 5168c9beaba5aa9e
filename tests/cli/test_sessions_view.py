from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console, Group
from rich.text import Text

from llmproxy.cli.sessions_view import render_session, render_sessions
from llmproxy.cli.tables import parse_timestamp

NOW_S = parse_timestamp("2026-11-21T10:10:00Z")
SESSION: dict[str, Any] = {
    "id": "s_3f2a9c01d4e85b76",
    "client": "127.0.0.1 openai/python",
    "started": "2026-11-21T10:00:00.000000Z",
    "last_seen": "2026-11-21T10:09:30.000000Z",
    "requests": 4,
    "errors": 1,
    "models": ["gpt-4o", "claude-sonnet-4-5"],
    "tokens": {"input": 12000, "output": 200, "cache_read": 9000},
    "cost_usd": 0.0125,
    "cost_unknown": 1,
}
FIGURES = {
    "active": 3,
    "created": 5,
    "creation_rate_per_minute": 0.4,
    "hits": 20,
    "misses": 5,
    "hit_rate": 0.8,
    "fuzzy_matches": 1,
    "resets": 0,
    "expired": 2,
    "evicted": 0,
}
PAGE: dict[str, Any] = {"figures": FIGURES, "store": "memory", "available": True, "sessions": [SESSION]}


def drawn(shown: list[Text], width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(Group(*shown))
    assert isinstance(console.file, StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert all(len(line) <= width for line in lines)
    return lines


def listed(width: int, /, **changes: Any) -> list[str]:
    assert NOW_S is not None
    return drawn(render_sessions({**PAGE, **changes}, width, NOW_S), width)


def test_a_session_is_a_line_and_all_figures_are_one() -> None:
    head, row, more, _, figures = listed(140)
    assert head.split() == [
        "session",
        "client",
        "age",
        "seen",
        "reqs",
        "errors",
        "models",
        "in",
        "cached",
        "out",
        "cost",
    ]
    assert row.split() == [
        *("s_3f2a9c01d4e85b76", "openai", "10m", "30s", "4", "1"),
        *("gpt-4o,", "claude-sonnet-4-5", "12.0k", "9.0k", "200", "$0.0125+"),
    ]
    assert more == "… 2 more; show more with -n"
    assert figures == ("3 active  5 created (0.4 a minute)  20 hits (80.0%)  1 fuzzy  2 expired  store memory")


def test_cached_tokens_stand_where_there_are_any_and_give_way_to_words() -> None:
    none = {**SESSION, "tokens": {"input": 12000, "output": 200, "cache_read": 0}}
    assert "cached" not in listed(140, sessions=[none])[0]
    both = listed(140, sessions=[SESSION, none])
    start = both[0].index("cached")
    assert both[1][start : start + 6] == "  9.0k" and both[2][start : start + 6].isspace()
    wide = {**SESSION, "client": "10.0.0.9 an-agent", "tokens": dict.fromkeys(SESSION["tokens"], 54_300)}
    assert ["cached" in listed(width, sessions=[wide])[0] for width in (80, 100)] == [False, True]


@pytest.mark.parametrize("width", [50, 60, 79, 80])
def test_narrow_windows_keep_what_reports_sessions_apart(width: int) -> None:
    row = listed(width)[1].split()
    assert row[0].startswith("s_3f2a9c") and "4" in row and "30s" in row


def test_an_empty_list_is_reported_in_words() -> None:
    lines = listed(80, sessions=[], figures={**FIGURES, "active": 0})
    assert lines[0] == "no sessions yet" and lines[2].startswith("0 active")


def test_a_store_that_is_gone_is_reported() -> None:
    assert listed(140, available=False, store="redis")[-1].startswith("redis is not reachable")


def test_one_session_is_reported_in_lines() -> None:
    assert NOW_S is not None
    output = "\n".join(drawn(render_session(SESSION, NOW_S), 80))
    for part in (
        "session    s_3f2a9c01d4e85b76",
        "30s ago",
        "models     gpt-4o, claude",
        "tokens     12.0k in (9.0k cached), 200 out",
        "cost       $0.0125 and 1 requests unknown",
    ):
        assert part in output


@pytest.mark.parametrize(
    "session", [{}, dict.fromkeys(SESSION), dict.fromkeys(SESSION, "\x1b[2J"), dict.fromkeys(SESSION, 1)]
)
def test_what_a_server_says_otherwise_is_a_dash_and_harmless(session: dict[str, Any]) -> None:
    page = {"sessions": [session], "figures": session}
    for lines in (drawn(render_sessions(page, 100, 0.0), 100), drawn(render_session(session, 0.0), 100)):
        assert "-" in "".join(lines) and "\x1b" not in "".join(lines)
