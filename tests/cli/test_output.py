from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console
from rich.text import Text

from llmproxy.cli.output import QuietExit, fail, print_line, stdout_console
from tests.support.program import clean_environment


def test_an_end_is_one_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail("there is none", code=2)
    assert ended.value.exit_code == 2 and capsys.readouterr().err == "llmproxy: there is none\n"


@pytest.mark.parametrize(("columns", "width"), [(None, 200), ("60", 60)])
def test_a_pipe_is_wide_unless_its_width_is_given(
    monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert stdout_console().width == width


def test_ctrl_c_is_an_end_and_other_faults_are_none() -> None:
    with QuietExit():
        raise KeyboardInterrupt
    with pytest.raises(ValueError), QuietExit():
        raise ValueError


def test_a_reader_that_left_is_an_end(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    script = "from llmproxy.cli.output import QuietExit\nwith QuietExit(): print('x' * 100_000, flush=True)"
    with open(writing, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=clean_environment(tmp_path),
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_pipe_gets_a_line_without_its_colour(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(Console(file=StringIO()), Text("failed", style="red"))
    assert capsys.readouterr().out == "failed\n"
