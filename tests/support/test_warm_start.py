"""A warm start is like a cold one, but for the time it takes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import Program, clean_environment, run
from tests.support.warm_start import start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


@pytest.mark.parametrize("arguments", [["validate-config", "none.yaml"], ["trace", "ls", "nowhere"], ["--version"]])
def test_output_and_exit_code_are_those_of_a_cold_start(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "llmproxy", *arguments]
    cold = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(tmp_path), capture_output=True, text=True, check=False
    )
    warm = run(*arguments, cwd=tmp_path)
    assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_it_has_its_own_directory_and_environment(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text('{server: {port: "${A_PORT}"}, providers: [{name: stub, type: stub}]}')
    assert run("validate-config", "llmproxy.yaml", cwd=tmp_path).returncode == 1
    assert run("validate-config", "llmproxy.yaml", cwd=tmp_path, extra={"A_PORT": "1"}).returncode == 0


def test_it_gets_signals_and_tells_how_it_ended(tmp_path: Path) -> None:
    with Program(tmp_path, "serve") as one, Program(tmp_path, "serve") as other:
        assert one.pid != other.pid
        one.signal(signal.SIGINT)
        assert one.wait() == 0 and not other.ended


def test_what_the_interpreter_itself_reads_needs_a_cold_start(tmp_path: Path) -> None:
    environment = clean_environment(tmp_path, {"PYTHONIOENCODING": "ascii"})
    assert start(["--version"], tmp_path, environment) is None
