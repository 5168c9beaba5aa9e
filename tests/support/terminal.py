"""Run a command in a pseudo-terminal: its output, keys to press, a window to resize. POSIX only."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.program import clean_environment
from tests.support.waiting import PATIENCE_S, until

_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])")


class Terminal:
    """`llmproxy <arguments>` in a window of `columns` times `lines`, its HOME in `directory`. A context manager."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        columns: int = 80,
        lines: int = 24,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.raw = ""
        self._command = [sys.executable, "-m", "llmproxy", *arguments]
        self._directory = directory
        self._environment = clean_environment(directory, {"TERM": "xterm-256color", **(extra or {})})
        self._size = (columns, lines)

    @property
    def text(self) -> str:
        """Return all that was written so far, without colours and movements."""
        return _CONTROL.sub("", self.raw)

    def __enter__(self) -> Self:
        import pty

        self._ours, theirs = pty.openpty()
        self.resize(*self._size)
        self._process = subprocess.Popen(
            self._command,
            cwd=self._directory,
            env=self._environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        os.close(self._ours)
        if fault is None:
            assert "Traceback" not in self.raw, self.raw

    def resize(self, columns: int, lines: int) -> None:
        """Resize the window and signal its process."""
        import fcntl
        import termios

        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait_for(self, text: str, since: int = 0) -> None:
        """Wait until `text` stands in what was written after the first `since` characters of `text`."""
        until(lambda: text in self.text[since:], f"{text!r} in\n{self.text[-3000:]}")

    def wait(self) -> int:
        """Return the exit code, once it ended by itself."""
        return self._process.wait(PATIENCE_S)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while data := os.read(self._ours, 65536):
                self.raw += data.decode(errors="replace")


def _take_terminal() -> None:
    """Make the child the foreground process, so that Ctrl-C in the window reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
