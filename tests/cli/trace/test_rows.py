from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text

from llmproxy.cli.trace.rows import MAGENTA, RED, EntryTable
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
    row = EntryTable(80, growing=True).row(entry(first_token_ms=1234.0)).plain
    assert row.split() == ["03:00:00", "000000", "200", "100ms", "gpt-4o", "openai", "10", "5"]


@pytest.mark.parametrize("width", [80, 120])
def test_what_a_short_request_costs_is_not_cut(width: int) -> None:
    cheap = entry(cost_usd=0.0000018)
    assert "$0.0000018" in EntryTable(width, [cheap]).row(cheap).plain.split()


def test_cached_tokens_have_a_column_where_there_are_some() -> None:
    cached = entry(usage={"input": 1300, "output": 85, "cache_read": 1200, "cache_write": None, "reasoning": None})
    assert EntryTable(80, [cached]).row(cached).plain.split()[-4:-1] == ["1.3k", "1.2k", "85"]
    assert "cached" not in EntryTable(80, [entry()]).head().plain


def test_a_model_is_not_cut_while_there_is_room_for_less_important_columns() -> None:
    long = entry(model="fast", served_model="llama-3.3-70b-versatile", session="s-1")
    assert "fast > llama-3.3-70b-versatile" in EntryTable(100, [long]).row(long).plain


def test_a_growing_table_makes_room_for_longer_values_and_reports_that() -> None:
    rows = EntryTable(120, [entry()], growing=True)
    assert not rows.grow(entry())
    long = entry(model="x" * 30, served_model=None)
    assert rows.grow(long) and "x" * 30 in rows.row(long).plain


def test_more_room_shows_more() -> None:
    one = entry(session="my-session", client={"address": "10.0.0.9", "agent": "", "name": None})
    row = EntryTable(160, [one]).row(one).plain
    assert "/v1/chat/completions" in row and "my-session" in row and "10.0.0.9" in row


def test_an_error_stands_before_tokens_and_never_leaves_its_line() -> None:
    error = {"code": "upstream_timeout", "message": "no answer for 30 s"}
    failed = entry(error=error, status=504, usage=None)
    for width in (60, 80, 120, 200):
        row = EntryTable(width, [failed, entry()]).row(failed).plain
        assert "504" in row and "upstream_timeout: no an" in row and len(row) <= width


def test_a_provider_s_own_error_needs_no_code() -> None:
    failed = entry(error={"code": "provider_error", "message": "slow down"}, status=429)
    assert EntryTable(80, [failed]).row(failed).plain.endswith(" slow down")


@pytest.mark.parametrize(
    ("changes", "style"),
    [
        ({}, ""),
        ({"status": 500}, RED),
        ({"outcome": "broken"}, RED),
        ({"outcome": "cancelled", "status": None}, MAGENTA),
    ],
)
def test_failures_stand_out(changes: dict[str, Any], style: str) -> None:
    assert EntryTable(80).row(entry(**changes)).style == style
