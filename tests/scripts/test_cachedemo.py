"""The demonstration of the cache, as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.program import Program


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.cachedemo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.ledger("D5")
def test_the_second_run_is_a_replay() -> None:
    done = demo("--pause", "0.01")
    assert done.returncode == 0, done.stderr
    assert re.search(r"first run .* ms +.* ms +miss\nreplay .* ms +.* ms +hit\n", done.stdout)
    assert "The same " in done.stdout


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as program:
        yield program


def test_a_proxy_without_a_cache_is_reported(stub: Program) -> None:
    done = demo("--url", stub.url, "--model", "any")
    assert done.returncode == 1
    assert "no cache" in done.stdout


def test_a_proxy_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with Program(tmp_path) as program:
        url = program.url
    done = demo("--url", url)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
