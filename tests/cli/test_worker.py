from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from llmproxy.cli import app
from tests.support.program import run


def test_the_command_is_for_the_parent_alone(tmp_path: Path) -> None:
    assert " worker " not in CliRunner().invoke(app, ["--help"]).output
    told = run("worker", "998", "999", cwd=tmp_path)
    assert told.returncode != 0 and "llmproxy serve --workers N" in told.stderr and "Traceback" not in told.stderr
