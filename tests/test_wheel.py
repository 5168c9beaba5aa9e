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

# Every second file, but for those about the checkout itself.
OF_CHECKOUT = {"test_deployment.py", "test_docs_examples.py", "test_scripts.py"}
SUITE = [path for path in sorted((ROOT / "tests" / "acceptance").glob("test_*.py")) if path.name not in OF_CHECKOUT][
    ::2
]


@pytest.mark.long
@pytest.mark.ledger("D1")
def test_a_fresh_environment_passes_acceptance_tests_with_the_wheel(tmp_path: Path) -> None:
    wheel, _ = release.build(tmp_path / "dist")
    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
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

    tests = [str(path.relative_to(ROOT)) for path in SUITE]
    command = [str(python), "-m", "pytest", "-q", "-n", "2", *tests]
    done = subprocess.run(command, cwd=outside, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(tmp_path / "environment")  # half a GB, which would stay as long as the results of three runs
