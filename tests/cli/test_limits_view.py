from __future__ import annotations

from llmproxy.cli.limits_view import limit_lists
from llmproxy.cli.tables import render_table

NOW_S = 1_700_000_000.0
ROW = {"scope": "global", "of": None, "key": None}
PAGE: dict[str, object] = {
    "limits": {
        "limits": [
            {
                **ROW,
                "rule": "600 requests per minute",
                "kind": "requests",
                "scope": "key",
                "of": "ci",
                "used": 599,
                "limit": 600,
                "left": 1,
                "window_seconds": 60.0,
            },
            {
                **ROW,
                "rule": "5 requests at a time",
                "kind": "concurrent",
                "used": 2,
                "limit": 5,
                "left": 3,
                "window_seconds": None,
                "key": "dev",
            },
        ],
        "budgets": [
            {
                **ROW,
                "rule": "100 USD per day",
                "kind": "budget",
                "used": 61.5,
                "limit": 100.0,
                "left": 38.5,
                "resets": "2023-11-15T00:00:00Z",
                "forecast": 140.25,
            },
        ],
    }
}


def lines(page: dict[str, object]) -> list[str]:
    return [
        str(line)
        for title, columns, rows in limit_lists(page, NOW_S)
        for line in (title, *render_table(columns, rows, 80))
    ]


def test_limits_and_budgets_are_tables() -> None:
    shown = lines(PAGE)

    assert shown[0] == "limits"
    assert shown[2].split() == ["600", "requests", "per", "minute,", "key", "ci", "599", "1", "1m00s"]
    assert shown[3].split() == ["5", "requests", "at", "a", "time,", "key", "dev", "2", "3"]
    assert shown[4] == "budgets"
    assert shown[6].split() == ["100", "USD", "per", "day,", "all", "$61.50", "$38.50", "1h46m", "$140.25"]


def test_what_a_page_of_another_version_lacks_is_not_drawn() -> None:
    assert lines({"limits": {"limits": [{}], "budgets": [{"used": "x"}]}})[2].split() == ["-,", "-", "-"]
    assert lines({}) != []


def test_less_than_a_cent_is_not_nothing() -> None:
    row = {**ROW, "rule": "0.001 USD per day", "kind": "budget", "used": 0.000018, "limit": 0.001, "left": 0.000982}
    assert lines({"limits": {"budgets": [row]}})[-1].split()[5:7] == ["$0.000018", "$0.00098"]
