"""Writes lines to standard output: many in one write, and never a line that cannot be encoded.

Lines are written to the file descriptor itself: a stopped terminal (Ctrl-S) blocks only the writing thread, and no lock
that other threads need. Begin reading at `Console.flush`.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Mapping
from typing import TextIO

_WAIT_S = 1.0


class Console:
    """Writes lines to `stream`; None stands for a standard output that was closed from the start.

    `terminal` says whether it is a terminal, `colours` whether to use colours.
    """

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> None:
        self.terminal = _is_terminal(stream)
        self.colours = self.terminal and not environ.get("NO_COLOR") and _supports_colours(environ)
        self._stream = stream
        self._descriptor = _descriptor(stream, self.terminal)
        self._encoding = (stream.encoding if stream is not None else None) or "utf-8"
        self._lines: list[str] = []

    def width(self) -> int | None:
        """Return the width of the terminal now; None where lines may have any length."""
        if not self.terminal or self._descriptor is None:
            return None
        try:
            return os.get_terminal_size(self._descriptor).columns or None
        except OSError:
            return None

    def add(self, line: str) -> None:
        """Add a line, without its newline, for the next `flush`."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write the added lines; characters that the encoding lacks become question marks. Raises OSError, and drops
        the lines then.
        """
        if not self._lines:
            return
        text = "\n".join([*self._lines, ""])
        self._lines.clear()
        if self._descriptor is not None:
            _write(self._descriptor, text.encode(self._encoding, "replace"))
        elif self._stream is not None:
            self._write_text(self._stream, text)
        else:
            raise OSError(errno.EBADF, "standard output is closed")

    def _write_text(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text.encode(self._encoding, "replace").decode(self._encoding))
            stream.flush()
        except ValueError as error:  # raised for a closed file
            raise OSError(errno.EBADF, str(error)) from None


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _supports_colours(environ: Mapping[str, str]) -> bool:
    if sys.platform == "win32":  # the older console shows the codes themselves
        return "WT_SESSION" in environ or "ANSICON" in environ or "TERM" in environ
    return environ.get("TERM") != "dumb"


def _descriptor(stream: TextIO | None, terminal: bool) -> int | None:
    """Return the descriptor to write bytes to, if any. The console of Windows takes characters, and some streams have
    no descriptor.
    """
    if stream is None or (terminal and sys.platform == "win32"):
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _write(descriptor: int, data: bytes) -> None:
    """Write all data, and wait for a pipe that is non-blocking."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select((), (descriptor,), (), _WAIT_S)
