"""Standard output as a place for lines: many in one write, and no line that cannot be shown.

Lines are written to the file descriptor itself: a terminal that was stopped (Ctrl-S) holds up the thread that writes,
and no lock that others need. Begin reading at `Console.flush`.
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
    """Writes lines to `stream`; None stands for a standard output that was closed from the beginning.

    `terminal` says whether a person looks at it, `colours` whether that person wants colours.
    """

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> None:
        self.terminal = _is_terminal(stream)
        self.colours = self.terminal and not environ.get("NO_COLOR") and _understands_colours(environ)
        self._stream = stream
        self._descriptor = _descriptor(stream, self.terminal)
        self._encoding = (stream.encoding if stream is not None else None) or "utf-8"
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """One line, without its newline, for the next `flush`."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write the lines that were added; characters that the encoding lacks become question marks. Raises OSError,
        then they are gone.
        """
        if not self._lines:
            return
        text = "\n".join([*self._lines, ""])
        self._lines.clear()
        if self._descriptor is not None:
            _write(self._descriptor, text.encode(self._encoding, "replace"))
        elif self._stream is not None:
            self._say(self._stream, text)
        else:
            raise OSError(errno.EBADF, "standard output is closed")

    def _say(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text.encode(self._encoding, "replace").decode(self._encoding))
            stream.flush()
        except ValueError as error:  # what Python says of a file that was closed
            raise OSError(errno.EBADF, str(error)) from None


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _understands_colours(environ: Mapping[str, str]) -> bool:
    if sys.platform == "win32":  # the older console shows the codes themselves
        return "WT_SESSION" in environ or "ANSICON" in environ or "TERM" in environ
    return environ.get("TERM") != "dumb"


def _descriptor(stream: TextIO | None, terminal: bool) -> int | None:
    """Where to write bytes. The console of Windows takes characters, and some streams have no descriptor."""
    if stream is None or (terminal and sys.platform == "win32"):
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it. A pipe that somebody made non-blocking is waited for all the same."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select((), (descriptor,), (), _WAIT_S)
