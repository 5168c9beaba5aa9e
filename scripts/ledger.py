"""The rows of the requirements, each with the acceptance tests that prove it.

`python -m scripts.ledger` prints every row with its tests, or `none`; `--run` runs the tests and prints how they ended.
A test names its rows itself: `@pytest.mark.ledger("C5")`. `ledger_rows.txt` lists the rows; one that is marked `tested`
there must have a test under `tests/acceptance`. Begin reading at `collect`.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ACCEPTANCE = "tests/acceptance/"
_OUTCOMES = ("failed", "passed", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `tested` says that it must have an acceptance test."""

    id: str
    tested: bool
    title: str


def read_rows(root: Path = ROOT) -> list[Row]:
    """Read `ledger_rows.txt`: a line each of id, `tested` or `open`, and title."""
    rows = []
    for line in (root / "scripts" / "ledger_rows.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            identifier, state, title = line.split(maxsplit=2)
            if state not in ("tested", "open"):
                raise ValueError(f"ledger_rows.txt: {line!r} must have `tested` or `open` after the id")
            rows.append(Row(id=identifier, tested=state == "tested", title=title))
    return rows


def collect(root: Path = ROOT) -> dict[str, list[str]]:
    """Return the tests of each row, as `path::name`, from the marks in the source below `tests`."""
    tests: dict[str, list[str]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        for test, row in _marks(ast.parse(text)) if "ledger(" in text else ():
            tests.setdefault(row, []).append(f"{name}::{test}")
    return tests


def _marks(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the name of a test and a row, for each mark. `pytestmark` marks every test of the file."""
    functions = [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    of_file: list[str] = []
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                of_file += _rows_in(value)
    for function in functions:
        own = [row for decorator in function.decorator_list for row in _rows_in(decorator)]
        for row in (*of_file, *own):
            yield function.name, row


def _rows_in(expression: ast.expr) -> list[str]:
    """Return the rows of every `pytest.mark.ledger("ROW")` in an expression."""
    rows = []
    for node in ast.walk(expression):
        match node:
            case ast.Call(func=ast.Attribute(attr="ledger"), args=[ast.Constant(value=str(row))]):
                rows.append(row)
    return rows


def problems(root: Path = ROOT) -> list[str]:
    """List the rows that must have an acceptance test and have none, and the marks of rows that do not exist."""
    rows, tests = read_rows(root), collect(root)
    ids = {row.id for row in rows}
    missing = [
        f"{row.id} ({row.title}): no test under {ACCEPTANCE} is marked with it"
        for row in rows
        if row.tested and not any(test.startswith(ACCEPTANCE) for test in tests.get(row.id, ()))
    ]
    unknown = [f"{row} is not in scripts/ledger_rows.txt: {', '.join(tests[row])}" for row in tests if row not in ids]
    return missing + unknown


@dataclass(slots=True)
class Results:
    """A pytest plugin that keeps the outcome of each test; the parameters of one test count as one."""

    outcomes: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        test = report.nodeid.partition("[")[0]
        self.outcomes[test] = min(report.outcome, self.outcomes.get(test, report.outcome), key=_OUTCOMES.index)


def render(rows: list[Row], tests: Mapping[str, list[str]], outcomes: Mapping[str, str] | None = None) -> str:
    """Return the table: a line for each row, and below it a line for each of its tests."""
    lines = []
    for row in rows:
        own = tests.get(row.id, [])
        lines.append(f"{row.id:<4}{row.title}" + ("" if own else "  none"))
        for test in own:
            outcome = "" if outcomes is None else f"{outcomes.get(test, 'not run'):<9}"
            lines.append(f"      {outcome}{test}")
    with_tests = sum(row.id in tests for row in rows)
    lines.append(f"{with_tests} of {len(rows)} rows have tests")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the ledger. Return 1 when a row lacks its test, or one failed."""
    parser = argparse.ArgumentParser(prog="python -m scripts.ledger", description=__doc__.partition("\n")[0])
    parser.add_argument("--run", action="store_true", help="run the tests and print how they ended")
    outcomes = None
    failed = 0
    if parser.parse_args(arguments).run:
        results = Results()
        failed = int(pytest.main(["-q", "-n", "auto", "-m", "ledger", str(ROOT / "tests")], plugins=[results]))
        outcomes = results.outcomes
    print(render(read_rows(), collect(), outcomes))
    complaints = problems()
    print(*complaints, sep="\n", end="\n" if complaints else "", file=sys.stderr)
    return 1 if complaints or failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
