"""Files that hold traffic: readable by their owner alone, regular files, in places that can be used.

Traces, the audit log and stores on disk write through it; commands read records through `open_regular`. Nothing here
knows what is in a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

from llmproxy.errors import ProxyError
from llmproxy.system_errors import explain_fault

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_OTHERS = 0o077
# With any other error a place is a mistake in the configuration.
_PASSING = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EINTR", "EAGAIN", "ESTALE", "ETIMEDOUT")
    if hasattr(errno, name)
)
# Opening a named pipe waits for its other end; with this flag it does not.
_WAITS_FOR_NOBODY = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: str, flags: int = os.O_RDONLY, mode: int = FILE_MODE) -> int:
    """Open a regular file and return its descriptor. Raises OSError, for a pipe, socket, device or directory too: they
    could wait for ever or never end.
    """
    file = os.open(path, flags | _WAITS_FOR_NOBODY, mode)
    try:
        _refuse_special(os.fstat(file), path)
    except OSError:
        os.close(file)
        raise
    return file


def require_regular(path: str) -> None:
    """Check that a regular file is at `path`, without opening it. Raises OSError."""
    _refuse_special(os.stat(path), path)


def create_private(path: str) -> None:
    """Create an empty file unless something has that name, which must be a regular file. Raises OSError.

    A file that exists is not opened: closing it would drop locks that this process has on it.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _WAITS_FOR_NOBODY, FILE_MODE))
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):  # a link to nothing
            _refuse_special(os.stat(path), path)


def keep_private(path: str) -> None:
    """Take the rights of others from a file, if it exists and is ours."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & _OTHERS:
            os.chmod(path, mode & ~_OTHERS)


def make_directory(directory: str) -> None:
    """Create `directory` and its missing parents, all for their owner alone; those that exist stay as they are.

    Raises OSError.
    """
    if os.path.isdir(directory):
        return
    parent = os.path.dirname(directory)
    if parent not in ("", directory):
        make_directory(parent)
    try:
        os.mkdir(directory, DIRECTORY_MODE)
    except FileExistsError:  # another process was faster, or something else has that name
        if not os.path.isdir(directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory) from None


def check_directory(directory: str) -> None:
    """Create `directory` where needed, and a file in it for a moment. Raises OSError."""
    make_directory(directory)
    name = os.path.join(directory, f".{os.getpid()}-{time.monotonic_ns()}.tmp")
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
    os.unlink(name)


def refuse_place(what: str, path: str, error: OSError | ValueError, remedy: str) -> None:
    """Raise ProxyError when `error` shows that `path` can never be used; return when it may work later."""
    if isinstance(error, OSError) and may_pass(error):
        return
    message = f"{what}: cannot write to {path!r}: {explain_fault(error)}; {remedy}"
    raise ProxyError(message, code="unusable_place") from error


def may_pass(error: OSError) -> bool:
    """Return whether a place with this error may work later, as a full disk does."""
    return error.errno in _PASSING


def _refuse_special(state: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", path)
