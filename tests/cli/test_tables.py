from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, Group
from rich.text import Text

from llmproxy.cli.tables import (
    Row,
    TableColumn,
    age_ms,
    count_cell,
    duration_cell,
    errors_cell,
    fit_cell,
    hanging_lines,
    parse_timestamp,
    render_table,
    text_cell,
    tokens_cell,
)

COLUMNS = (
    TableColumn("name", lambda row: text_cell(row.get("name")), least=4),
    TableColumn("where", lambda row: text_cell(row.get("where")), least=6),
    TableColumn("reqs", lambda row: count_cell(row.get("requests"))),
    TableColumn("in", tokens_cell("input"), 40),
)
SHORT: Row = {"name": "a", "where": "b", "requests": 1, "tokens": {"input": 2}}
LONG: Row = {"name": "n" * 12, "where": "w" * 20, "requests": 12345}


def drawn(width: int, *rows: Row) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(Group(*render_table(COLUMNS, rows, width)))
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_words_stand_to_the_left_and_numbers_to_the_right() -> None:
    assert drawn(40, SHORT, {"name": "bb"}) == [
        "name where reqs in",
        "a    b        1  2",
        "bb",
    ]


def test_a_column_without_a_value_is_left_out() -> None:
    assert drawn(40, {"name": "bb"}, {"name": "c", "requests": 3}) == ["name reqs", "bb", "c       3"]


def test_the_widest_words_give_way_and_numbers_never() -> None:
    (_, row) = drawn(30, LONG)
    assert row == f"{'n' * 12} {'w' * 10}… 12.3k"
    assert drawn(17, LONG)[1].split()[-1] == "12.3k"


@pytest.mark.parametrize(("width", "shown"), [(39, False), (40, True)])
def test_a_column_is_shown_from_its_width(width: int, shown: bool) -> None:
    assert ("in" in drawn(width, SHORT)[0].split()) is shown


@pytest.mark.parametrize("value", [None, "x", [], True])
def test_what_a_page_lacks_is_a_dash(value: object) -> None:
    assert (count_cell(value), duration_cell(value), str(errors_cell(value))) == ("-", "-", "-")
    assert parse_timestamp(value) is None and age_ms(1.0, value) is None


def test_errors_stand_out_unless_there_are_none() -> None:
    assert errors_cell(0) == Text("0") and errors_cell(3).style == "bold red"


def test_times_are_reported_by_how_long_ago_they_were() -> None:
    assert parse_timestamp("1970-01-01T00:01:00.5Z") == 60.5
    assert age_ms(61.0, "1970-01-01T00:01:00Z") == 1000
    assert age_ms(59.0, "1970-01-01T00:01:00Z") == 0, "clocks of two machines differ"
    assert age_ms(None, "1970-01-01T00:01:00Z") is None


@pytest.mark.parametrize(
    ("cell", "right", "shown"),
    [
        ("ab", False, "ab  "),
        ("ab", True, "  ab"),
        ("abcde", False, "abc…"),
        ("日本", True, "日本"),
        ("日本語", False, "日… "),
    ],
)
def test_a_cell_has_the_width_that_is_seen(cell: str, right: bool, shown: str) -> None:
    assert fit_cell(cell, 4, right=right) == shown


def test_colours_of_cells_stay() -> None:
    columns = (TableColumn("errors", lambda row: errors_cell(row.get("errors"))),)
    (_, line) = render_table(columns, [{"errors": 3}], 20)
    assert line.plain == "     3" and [str(span.style) for span in line.spans] == ["bold red"]


def test_further_lines_hang_below_the_first() -> None:
    head = Text("status  ", style="red")
    lines = list(hanging_lines(head, ["one two three four five six", "fix: it", ""], 30))
    assert [line.plain for line in lines] == [
        "status  one two three four",
        "        five six",
        "        fix: it",
        " " * 8,
    ]
    assert head.plain == "status  ", "the head is not changed"


@pytest.mark.parametrize(("width", "heads"), [(60, "name more calls errors"), (44, "name calls errors")])
def test_a_column_gives_way_before_a_name_is_cut(width: int, heads: str) -> None:
    columns = [
        TableColumn("name", lambda row: row["name"], least=8, enough=26),
        TableColumn("more", lambda row: "12345678", rank=1),
        TableColumn("calls", lambda row: "12"),
        TableColumn("errors", lambda row: "0"),
    ]
    lines = render_table(columns, [{"name": "claude-haiku-4-5-20251001"}], width)
    assert lines[0].plain.split() == heads.split() and "claude-haiku-4-5-20251001" in lines[1].plain
