from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text

from llmproxy.cli.trace.rows import RED, YELLOW, EntryTable
from tests.support.records import entry

ODD: list[dict[str, Any]] = [
    {},
    {"model": "x" * 300, "served_model": "y" * 300},
    {"model": "日本語モデル🎉" * 9, "session": "s\x1b[31m\x07\n"},
    {"model": None, "served_model": None, "provider": None, "usage": None, "status": None, "outcome": "cancelled"},
    {"error": {"code": "upstream_timeout", "message": "no\nanswer"}, "status": 502, "outcome": "error"},
    {"started": "no time", "duration_ms": 1e12, "first_token_ms": None},
]


@pytest.mark.parametrize("width", [1, 20, 40, 80, 120, 200])
@pytest.mark.parametrize("changes", ODD)
def test_a_row_is_one_line_that_fits(width: int, changes: dict[str, Any]) -> None:
    for dates in (False, True):
        row = EntryTable(width, dates=dates).row(entry(**changes))
        assert row.cell_len <= max(width, 8)
        assert row.plain.isprintable()


def test_columns_stand_below_each_other_whatever_the_width_of_characters() -> None:
    rows = EntryTable(80)
    wide, plain = rows.row(entry(model="日本語" * 9)), rows.row(entry())
    assert Text(wide.plain.split("openai")[0]).cell_len == Text(plain.plain.split("openai")[0]).cell_len


def test_80_columns_show_what_matters_most() -> None:
    row = EntryTable(80).row(entry(first_token_ms=1234.0)).plain
    for shown in ("000000", "200", "gpt-4o", "openai", "10/5", "1.23s", "100ms"):
        assert shown in row


def test_cached_tokens_are_shown_where_there_is_room() -> None:
    cached = entry(usage={"input": 1300, "output": 85, "cache_read": 1200, "cache_write": None, "reasoning": None})
    assert " 1.3k in (1.2k cached), 85 out " in EntryTable(170).row(cached).plain
    assert " 1300/85 " in EntryTable(80).row(cached).plain


def test_more_room_shows_more() -> None:
    row = EntryTable(160).row(entry(session="my-session")).plain
    assert "/v1/chat/completions" in row and "my-session" in row


@pytest.mark.parametrize(
    ("changes", "style"),
    [
        ({}, ""),
        ({"status": 500}, RED),
        ({"outcome": "broken"}, RED),
        ({"outcome": "cancelled", "status": None}, YELLOW),
    ],
)
def test_failures_stand_out(changes: dict[str, Any], style: str) -> None:
    assert EntryTable(80).row(entry(**changes)).style == style


def test_an_error_is_reported_where_there_is_room() -> None:
    row = EntryTable(160).row(entry(error={"code": "upstream_timeout", "message": "gone"}, status=504)).plain
    assert "upstream_timeout: gone" in row
