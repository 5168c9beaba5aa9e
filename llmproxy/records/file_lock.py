"""Locks on files that several processes append to, and that one of them replaces or renames at times.

A lock belongs to the open file, not to its name: after waiting for one, check that the file still `has_name`. Closing
the file releases it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

if sys.platform != "win32":
    import fcntl

_LOCK_S = 2.0
_LOCK_STEP_S = 0.01


def lock_file(file: int) -> None:
    """Wait for the lock, 2 seconds at most: its holder may have been stopped. Raises OSError."""
    if sys.platform != "win32":
        deadline_s = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise OSError("another process holds its lock") from None
                time.sleep(_LOCK_STEP_S)
            except OSError:
                return  # some network file systems have no locks; lines are appended whole without one


def unlock_file(file: int) -> None:
    """Release the lock of a file that stays open."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def has_name(file: int, path: str) -> bool:
    """Return whether the open `file` is the one at `path` now."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def end_last_line(file: int) -> None:
    """Add a newline after an unfinished last line, left by a writer that was killed or had no room."""
    end = os.lseek(file, 0, os.SEEK_END)
    if end:
        os.lseek(file, end - 1, os.SEEK_SET)
        if os.read(file, 1) != b"\n":
            os.write(file, b"\n")
