"""The executable, made and tried out as a user makes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import ROOT


@pytest.mark.long
@pytest.mark.ledger("D1")
def test_build_makes_one_file_that_serves_and_stops(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "build.py"), "--into", str(tmp_path), "--sbom"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    program = "llmproxy.exe" if sys.platform == "win32" else "llmproxy"
    assert sorted(path.name for path in tmp_path.iterdir()) == [program, "llmproxy-licenses.txt", "llmproxy.cdx.json"]
    assert "streamed exchanges with the stub and over TLS are whole" in done.stdout
    assert "nothing is left in the folder for temporary files" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr, "the noise of PyInstaller"
    bill = json.loads((tmp_path / "llmproxy.cdx.json").read_text(encoding="utf-8"))
    assert {"aiohttp", "botocore", "google-auth", "redis"} <= {each["name"] for each in bill["components"]}
    licences = (tmp_path / "llmproxy-licenses.txt").read_text(encoding="utf-8")
    assert all(each["name"] in licences for each in bill["components"] if each["type"] == "library")


def test_without_the_development_environment_it_says_how_to_make_it(tmp_path: Path) -> None:
    shutil.copy(ROOT / "build.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "build.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert ("scripts/setup dev" if sys.platform != "win32" else "requirements-dev.txt") in done.stderr
