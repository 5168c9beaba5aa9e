"""The wheel in a fresh environment, used from outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from scripts import release
from tests.support.program import ROOT

SUITE = ["test_anthropic_sdk", "test_cache", "test_configs", "test_failover", "test_routing", "test_stub", "test_tls"]
SUITE += ["test_traces", "test_translation", "test_workers"]


@pytest.mark.long
@pytest.mark.ledger("D1")
def test_a_fresh_environment_passes_acceptance_tests_with_the_wheel(tmp_path: Path) -> None:
    wheel, _ = release.build(tmp_path / "dist")
    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    lock = str(ROOT / "scripts" / "requirements-dev.txt")
    subprocess.run([*install, "--require-hashes", "--only-binary", ":all:", "-r", lock], check=True)
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)

    outside = tmp_path / "outside"
    for name in ("tests", "configs", "scripts"):
        shutil.copytree(ROOT / name, outside / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "llmproxy" / "docs", outside / "llmproxy" / "docs")  # tests hold pages against the program
    shutil.copy(ROOT / "pyproject.toml", outside)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    where = [str(python), "-c", "import llmproxy; print(llmproxy.__file__)"]
    found = subprocess.run(where, cwd=outside, env=environment, capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()).is_relative_to(tmp_path / "environment")

    tests = [f"tests/acceptance/{name}.py" for name in SUITE]
    command = [str(python), "-m", "pytest", "-q", "-n", "2", *tests]
    done = subprocess.run(command, cwd=outside, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
