"""Run llmproxy as if on Windows: `python -m tests.support.as_windows COMMAND...`, one process for all commands.

`sys.platform` is `win32` before any module of llmproxy is imported, the modules and functions that Windows lacks are
missing, and SIGTERM plays Ctrl-Break. Libraries are imported before, since those of this system cannot be those of
Windows. Commands are separated by `then`; the first exit code that is not 0 ends the process.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType

LIBRARIES = (
    "aiohttp aiohttp.web msgspec multidict platformdirs prometheus_client pydantic rich.console truststore typer yaml"
)
LIBRARIES += (
    " asyncio.subprocess logging.handlers multiprocessing sqlite3 ssl http.client http.server zoneinfo backports.zstd"
)
MODULES = frozenset(
    {"crypt", "curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios"}
)
MODULES |= {"tty", "uvloop"}
FUNCTIONS = (
    (os, "chown fork forkpty getegid geteuid getgid getpgid getuid initgroups killpg mkfifo nice openpty pipe2"),
    (os, "sched_getaffinity sched_setaffinity setgid setpgid setsid setuid statvfs sysconf uname wait3 wait4"),
    (os, "O_CLOEXEC O_NONBLOCK O_NOFOLLOW O_DIRECTORY"),
    (signal, "SIGHUP SIGKILL SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD SIGALRM SIGPIPE SIGSTOP setitimer alarm pause sigwait"),
    (socket, "AF_UNIX send_fds recv_fds SO_REUSEPORT SOCK_CLOEXEC SOCK_NONBLOCK CMSG_LEN MSG_CMSG_CLOEXEC"),
)


class _Missing:
    """Finds none of `MODULES`."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def become_windows() -> None:
    """Take from this process what Windows has not."""
    for name in LIBRARIES.split():
        importlib.import_module(name)
    assert not [name for name in sys.modules if name.startswith("llmproxy")]
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES - {"posix"}]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Missing())
    pair = partial(socket.socketpair, socket.AF_UNIX)  # Windows makes one of two connections
    for owner, names in FUNCTIONS:
        for name in names.split():
            if hasattr(owner, name):
                delattr(owner, name)
    socket.socketpair = pair
    signal.SIGBREAK = signal.SIGTERM  # type: ignore[attr-defined, unused-ignore]  # the test has no other way to send one
    sys.platform = "win32"


def main(arguments: list[str]) -> int:
    become_windows()
    from llmproxy.cli import main as run

    while arguments:
        command = arguments[: arguments.index("then")] if "then" in arguments else arguments
        arguments = arguments[len(command) + 1 :]
        try:
            run(command)
        except SystemExit as end:
            if end.code:
                return end.code if isinstance(end.code, int) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
