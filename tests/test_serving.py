"""What is left of a serving process at its end is tested with `serve`; here, that a closed terminal ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import clean_environment
from tests.support.waiting import PATIENCE_S


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals on Windows")
def test_a_terminal_that_closes_ends_the_program(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "llmproxy", "serve", "--port", "0"],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            os.close(theirs)
            assert process.stdout is not None
            while "http://" not in process.stdout.readline():
                pass
            os.close(ours)
            process.send_signal(signal.SIGHUP)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
