from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("the bench runs on Linux", allow_module_level=True)

from scripts.overhead.__main__ import COLUMNS, Report
from tests.support.program import ROOT


def test_what_is_beyond_a_limit_stands_below_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.check("chat", 5.5, 5)
    report.check("stream", 1.5, 1.5)
    report.row("chat", "5.5")
    report.print_complaints()
    assert capsys.readouterr().out == "| chat | 5.5 |\n\nchat: 5.5, at most 5\n"


def test_the_table_of_the_documentation_has_the_columns_of_the_bench() -> None:
    page = (ROOT / "llmproxy" / "docs" / "speed.md").read_text(encoding="utf-8")
    assert f"\n| {' | '.join(COLUMNS)} |\n" in page
