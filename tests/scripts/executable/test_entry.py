from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts.executable import bundle
from tests.support.program import clean_environment
from tests.support.waiting import PATIENCE_S

# What the loader of PyInstaller does: it starts the program from a folder that it has made, and waits.
LOADER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, *sys.argv[1:]])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there a server does not notice the end of its loader")
def test_a_server_whose_loader_is_killed_ends_and_removes_what_was_unpacked(tmp_path: Path) -> None:
    unpacked = tmp_path / "_MEI1"
    unpacked.mkdir()
    (unpacked / "entry.py").write_bytes(bundle.ENTRY.read_bytes())
    loader = subprocess.Popen(
        [sys.executable, "-c", LOADER, str(unpacked / "entry.py"), "serve", "--port", "0"],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    with loader:
        assert loader.stdout
        server = int(loader.stdout.readline())
        assert any(re.search(r"http://127\.0\.0\.1:\d+", line) for line in loader.stdout)
        assert os.getpgid(server) == server, "a terminal signals its loader alone"
        loader.kill()
        reader = threading.Thread(target=loader.stdout.read, daemon=True)
        reader.start()
        reader.join(PATIENCE_S)  # the pipe ends with the last process that has it
        assert not reader.is_alive(), "the server still runs"
    assert not unpacked.exists()
