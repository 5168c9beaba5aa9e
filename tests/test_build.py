"""The executable, made and tried out as a user makes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
@pytest.mark.ledger("D1")
def test_build_makes_one_file_that_serves_and_stops(tmp_path: Path) -> None:
    build = Path(__file__).parents[1] / "build.py"
    done = subprocess.run([sys.executable, build, "--into", tmp_path], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.stem for path in tmp_path.iterdir()] == ["llmproxy"]
    assert "a streamed exchange with the stub is whole" in done.stdout
    assert "missing credentials are named" in done.stdout
