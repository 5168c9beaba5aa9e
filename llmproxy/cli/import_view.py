"""The report of `import`: a table with a row for each line of the source, and what is left to do.

Begin reading at `grade_table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from llmproxy.cli.tables import WARNING, Row, TableColumn, render_table, text_cell
from llmproxy.importers.draft import Grade, instructions

if TYPE_CHECKING:
    from llmproxy.importers.conversion import Conversion

_STYLES = {Grade.exact: "bold", Grade.approximate: WARNING, Grade.by_hand: "bold red", Grade.unsupported: "bold red"}


def _grade(row: Row) -> Text:
    return Text(row["grade"], style=_STYLES[row["grade"]])


_COLUMNS = (
    TableColumn("line", lambda row: row["line"]),
    TableColumn("grade", _grade, least=11),
    TableColumn("setting", lambda row: text_cell(row["setting"]), least=16),
    TableColumn("becomes", lambda row: text_cell(row["becomes"]), from_width=100, least=16),
    TableColumn("remark", lambda row: text_cell(row["message"]), least=20),
)


def grade_rows(conversion: Conversion) -> list[Row]:
    """Return a row for each line of the source."""
    return [
        {
            "line": f"{each.line}" if each.last_line <= each.line else f"{each.line}-{each.last_line}",
            "grade": each.grade,
            "setting": each.key,
            "becomes": each.becomes or "-",
            "message": each.message or "-",
        }
        for each in conversion.findings
    ]


def grade_table(rows: Sequence[Row], width: int) -> list[Text]:
    """Return the table in lines that fit `width`."""
    return render_table(_COLUMNS, rows, width)


def summary(conversion: Conversion, file: str) -> list[str]:
    """Return how many lines have each grade, and which variables to set."""
    counts = {grade: sum(each.grade is grade for each in conversion.findings) for grade in Grade}
    words = ", ".join(f"{count} {grade}" for grade, count in counts.items() if count)
    lines = [f"{file} ({conversion.title}): {words or 'empty'}"]
    return [*lines, *(f"{each}; it is not in the new file." for each in instructions(conversion.variables))]
