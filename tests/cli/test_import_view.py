from __future__ import annotations

from llmproxy.cli.import_config import Source
from llmproxy.cli.import_view import grade_rows, grade_table, summary
from llmproxy.importers.conversion import SOURCES, Conversion
from llmproxy.importers.draft import Finding, Grade, NewVariable

CONVERSION = Conversion(
    title="LiteLLM",
    text="",
    findings=[
        Finding(line=3, last_line=3, key="a.b", grade=Grade.exact, becomes="x.y"),
        Finding(line=4, last_line=9, key="guardrails", grade=Grade.unsupported, message="llmproxy has no such setting"),
    ],
    variables=[NewVariable(name="K", key="a", line=1), NewVariable(name="K", key="b", line=7)],
)


def test_the_command_names_every_source() -> None:
    assert tuple(each.value for each in Source) == SOURCES


def test_the_table_fits_the_width() -> None:
    for width in (80, 120, 200):
        lines = [line.plain for line in grade_table(grade_rows(CONVERSION), width)]
        assert max(map(len, lines)) <= width
        assert [line.split()[:3] for line in lines[1:]] == [["3", "exact", "a.b"], ["4-9", "unsupported", "guardrails"]]
    assert "x.y" in lines[1] and lines[2].endswith("llmproxy has no such setting")


def test_the_summary_counts_grades_and_names_variables() -> None:
    assert summary(CONVERSION, "c.yaml") == [
        "c.yaml (LiteLLM): 1 exact, 1 unsupported",
        "Set K to the credential in line 1, 7; it is not in the new file.",
    ]
