from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, Group
from rich.text import Text

from llmproxy.cli.tables import (
    Column,
    Row,
    ago_ms,
    count,
    failures,
    fit,
    lay_out,
    milliseconds,
    moment,
    safe_text,
    tokens,
)

COLUMNS = (
    Column("name", lambda row: safe_text(row.get("name")), least=4),
    Column("where", lambda row: safe_text(row.get("where")), least=6),
    Column("reqs", lambda row: count(row.get("requests"))),
    Column("in", tokens("input"), 40),
)
SHORT: Row = {"name": "a", "where": "b", "requests": 1, "tokens": {"input": 2}}
LONG: Row = {"name": "n" * 12, "where": "w" * 20, "requests": 12345}


def drawn(width: int, *rows: Row) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(Group(*lay_out(COLUMNS, rows, width)))
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_words_stand_to_the_left_and_numbers_to_the_right() -> None:
    assert drawn(40, SHORT, {"name": "bb"}) == [
        "name where reqs in",
        "a    b        1  2",
        "bb   -        -  -",
    ]


def test_the_widest_words_give_way_and_numbers_never() -> None:
    (_, row) = drawn(30, LONG)
    assert row == f"{'n' * 12} {'w' * 10}… 12.3k"
    assert drawn(17, LONG)[1].split()[-1] == "12.3k"


@pytest.mark.parametrize(("width", "shown"), [(39, False), (40, True)])
def test_a_column_is_shown_from_its_width(width: int, shown: bool) -> None:
    assert ("in" in drawn(width, SHORT)[0].split()) is shown


@pytest.mark.parametrize("value", [None, "x", [], True])
def test_what_a_page_lacks_is_a_dash(value: object) -> None:
    assert (count(value), milliseconds(value), str(failures(value))) == ("-", "-", "-")
    assert moment(value) is None and ago_ms(1.0, value) is None


def test_errors_stand_out_unless_there_are_none() -> None:
    assert failures(0) == Text("0") and failures(3).style == "bold red"


def test_times_are_told_by_how_long_ago_they_were() -> None:
    assert moment("1970-01-01T00:01:00.5Z") == 60.5
    assert ago_ms(61.0, "1970-01-01T00:01:00Z") == 1000
    assert ago_ms(59.0, "1970-01-01T00:01:00Z") == 0, "clocks of two machines differ"
    assert ago_ms(None, "1970-01-01T00:01:00Z") is None


@pytest.mark.parametrize(
    ("cell", "right", "shown"),
    [
        ("ab", False, "ab  "),
        ("ab", True, "  ab"),
        ("abcde", False, "abc…"),
        ("日本", True, "日本"),
        ("日本語", False, "日 …"),
    ],
)
def test_a_cell_has_the_width_that_is_seen(cell: str, right: bool, shown: str) -> None:
    assert fit(cell, 4, right=right) == shown


def test_colours_of_cells_stay() -> None:
    columns = (Column("errors", lambda row: failures(row.get("errors"))),)
    (_, line) = lay_out(columns, [{"errors": 3}], 20)
    assert line.plain == "     3" and [str(span.style) for span in line.spans] == ["bold red"]
