"""Report code of llmproxy that blocks a running event loop: files, name lookups, new processes, sleeps.

The interpreter's audit events name such calls, and one hook for the whole session listens to them. Only what llmproxy
itself calls counts: a test may open a file, and so may the import system or a traceback on its way to the log.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from types import FrameType

import llmproxy

BLOCKING = frozenset(
    {
        "open",
        "os.listdir",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.scandir",
        "shutil.copyfile",
        "shutil.rmtree",
        "socket.getaddrinfo",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "sqlite3.connect",
        "subprocess.Popen",
        "time.sleep",
    }
)
_PACKAGE = str(Path(llmproxy.__file__).parent)
_TESTS = str(Path(__file__).parent.parent)
_IMPORTS = "<frozen importlib"
_TRACEBACKS = ("linecache.py", "traceback.py")

found: list[str] = []
_listening = False
_real_sleep = time.sleep


def _culprit(frame: FrameType | None) -> str | None:
    """Return the line of llmproxy that called `frame`; None when a test or Python itself is nearer."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_TESTS) or name.startswith(_IMPORTS) or name.endswith(_TRACEBACKS):
            return None
        if name.startswith(_PACKAGE):
            return f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return None


def _judge(event: str, argument: object, caller: FrameType) -> None:
    if asyncio._get_running_loop() is not None and (culprit := _culprit(caller)):
        found.append(f"{culprit}: {event} {argument!r}")


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event not in BLOCKING or (event == "open" and isinstance(arguments[0], int)):  # an int is open already
        return
    _judge(event, arguments[0], sys._getframe(1))


def _sleep(seconds: float) -> None:
    _judge("time.sleep", seconds, sys._getframe(1))
    _real_sleep(seconds)


def listen() -> None:
    """Install the hook, once for each process: an audit hook cannot be removed."""
    global _listening
    if not _listening:
        _listening = True
        sys.addaudithook(_hear)
        if sys.version_info < (3, 13):  # from then on it tells by itself
            time.sleep = _sleep  # type: ignore[assignment]  # its parameter has no name
