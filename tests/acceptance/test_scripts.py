"""`scripts/check` and `scripts/test`, as a developer runs them, with tools that only say that they were called."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import ROOT

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="they are shell scripts"),
    pytest.mark.ledger("D4"),
]
CHECKS = {"ruff format --check .", "ruff check .", "mypy", "lint-imports --no-logo", "python -m scripts.readme"}


def called(checkout: Path, script: str, *arguments: str, failing: str = "") -> tuple[int, list[str], str]:
    """Run a script in a checkout of its own. Return its exit code, the tools with their arguments, and the messages."""
    tools = checkout / ".venv" / "bin"
    tools.mkdir(parents=True)
    (checkout / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / script, checkout / "scripts" / script)
    for tool in ("../../scripts/setup", "ruff", "mypy", "lint-imports", "python"):
        path = tools / tool
        line = f'echo "{path.name} $*"'
        path.write_text(f'#!/bin/sh\n{line}\n[ "{path.name}" != "{failing}" ]\n')
        path.chmod(0o755)
    done = subprocess.run([checkout / "scripts" / script, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, [line.strip() for line in done.stdout.splitlines()], done.stderr


def test_test_runs_the_whole_suite_in_parallel_with_further_arguments(tmp_path: Path) -> None:
    code, calls, _ = called(tmp_path, "test", "--long", "-k", "x")
    assert (code, calls) == (0, ["setup dev", "python -m pytest -n auto --long -k x"])


def test_a_failed_test_fails_the_script(tmp_path: Path) -> None:
    assert called(tmp_path, "test", failing="python")[0] != 0


def test_check_looks_at_format_lint_types_layers_and_documents(tmp_path: Path) -> None:
    code, calls, _ = called(tmp_path, "check")
    assert code == 0 and calls[0] == "setup dev" and set(calls) >= CHECKS


def test_check_goes_on_after_a_failure_and_names_it(tmp_path: Path) -> None:
    _, all_calls, _ = called(tmp_path / "well", "check")
    code, calls, messages = called(tmp_path / "broken", "check", failing="ruff")
    assert code != 0 and calls == all_calls
    assert "ruff format --check ." in messages and "ruff check ." in messages


def test_ci_runs_both_and_tries_the_executable_and_the_wheel_for_a_limited_time() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert {"./scripts/check", "./scripts/test"} <= set(lines)
    assert "timeout 25m ./scripts/test --long -rP tests/test_build.py tests/test_wheel.py" in lines
