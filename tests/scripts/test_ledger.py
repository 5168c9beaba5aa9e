"""The list of requirements and their acceptance tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import ledger

TESTS = {
    "tests/acceptance/test_a.py": """
import pytest

pytestmark = pytest.mark.ledger("A1")


@pytest.mark.ledger("B2")
@pytest.mark.parametrize("x", [1])
async def test_both(x): ...


def test_one(): ...
""",
    "tests/test_b.py": '@pytest.mark.ledger("B2")\ndef test_far(): ...\n',
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with three rows; B2 and C3 must have a test."""
    for name, text in TESTS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "ledger_rows.txt").write_text(
        "# rows\nA1 open First\nB2 tested Second one\nC3 tested Third\n"
    )
    return tmp_path


def test_every_row_that_must_have_an_acceptance_test_has_one() -> None:
    assert ledger.problems() == []


def test_marks_are_read_without_importing(project: Path) -> None:
    one, both = "tests/acceptance/test_a.py::test_one", "tests/acceptance/test_a.py::test_both"
    assert ledger.collect(project) == {"A1": [both, one], "B2": [both, "tests/test_b.py::test_far"]}


def test_a_row_without_its_test_is_a_problem(project: Path) -> None:
    assert ledger.problems(project) == ["C3 (Third): no test under tests/acceptance/ is marked with it"]


def test_a_test_elsewhere_is_no_acceptance_test(project: Path) -> None:
    (project / "tests/acceptance/test_a.py").unlink()
    assert [each[:2] for each in ledger.problems(project)] == ["B2", "C3"]


def test_a_mark_of_no_row_is_a_problem(project: Path) -> None:
    (project / "tests/test_b.py").write_text('@pytest.mark.ledger("Z9")\ndef test_far(): ...\n')
    assert ledger.problems(project)[-1] == "Z9 is not in scripts/ledger_rows.txt: tests/test_b.py::test_far"


def test_a_row_with_an_unknown_state_is_refused(project: Path) -> None:
    (project / "scripts" / "ledger_rows.txt").write_text("A1 maybe First\n")
    with pytest.raises(ValueError, match="tested"):
        ledger.read_rows(project)


def test_the_table_names_each_row_with_its_tests(project: Path) -> None:
    tests = ledger.collect(project)
    lines = ledger.render(ledger.read_rows(project), tests).splitlines()
    assert lines[0] == "A1  First" and lines[1] == f"      {tests['A1'][0]}"
    assert lines[-2:] == ["C3  Third  none", "2 of 3 rows have tests"]


def test_the_table_names_how_the_tests_ended(project: Path) -> None:
    tests = ledger.collect(project)
    table = ledger.render(ledger.read_rows(project), tests, {tests["A1"][0]: "passed"})
    assert f"      passed   {tests['A1'][0]}" in table and f"      not run  {tests['A1'][1]}" in table


def test_the_worst_outcome_of_a_test_with_parameters_counts() -> None:
    results = ledger.Results()
    for parameter, outcome in (("a", "passed"), ("b", "failed"), ("c", "skipped")):
        results.pytest_runtest_logreport(
            pytest.TestReport(f"t.py::test_x[{parameter}]", ("t.py", 1, ""), {}, outcome, None, "call")  # type: ignore[arg-type]  # a word of its literal
        )
    assert results.outcomes == {"t.py::test_x": "failed"}


def test_the_command_prints_the_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    assert ledger.main([]) == 0
    assert "C1  " in capsys.readouterr().out
