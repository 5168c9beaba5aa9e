"""Start `python -m llmproxy` as a fork of a process that has imported it already: 10 ms where a cold start takes 600.

One such process serves a test process, and ends with it. What it forks is a process like any other, with an
environment, a directory and descriptors of its own, which ends as an interpreter ends. Where there is no fork, or the
environment says how the interpreter itself is to start, the start is a cold one. Begin reading at `start`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

_ROOT = Path(__file__).parent.parent.parent
_OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
_ORDINARY = frozenset(("PYTHONPATH", "PYTHONUTF8", "PYTHONUNBUFFERED"))
_READ_BYTES = 64 * 1024
_PID_BYTES = 4
_END_S = 60.0


class WarmProcess:
    """What `subprocess.Popen` is, as far as tests use it, with text in `stdout` and `stderr`."""

    def __init__(self, pid: int, status: socket.socket, stdout: IO[str], stderr: IO[str]) -> None:
        self.pid = pid
        self.stdout: IO[str] | None = stdout
        self.stderr: IO[str] | None = stderr
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("llmproxy", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select((self._status,), (), (), timeout_s)[0]:
            self.returncode = int(self._status.recv(64) or b"-9")
            self._status.close()
        return self.returncode


def start(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> WarmProcess | None:
    """Run `llmproxy <arguments>`; None where that needs a cold start."""
    if sys.platform == "win32" or any(
        name.startswith(_OF_THE_INTERPRETER) and name not in _ORDINARY for name in environment
    ):
        return None
    out, err = os.pipe(), os.pipe()
    status, theirs = socket.socketpair()
    with open(os.devnull) as nothing, theirs:
        request = {"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}
        descriptors = [nothing.fileno(), out[1], err[1], theirs.fileno()]
        socket.send_fds(_parent()[0], [json.dumps(request).encode() + b"\n"], descriptors)
        os.close(out[1])
        os.close(err[1])
    pid = int.from_bytes(status.recv(_PID_BYTES, socket.MSG_WAITALL), "big")
    reading = {"encoding": "utf-8", "errors": "replace"}
    return WarmProcess(pid, status, open(out[0], **reading), open(err[0], **reading))  # type: ignore[call-overload]


@cache
def _parent() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Return the process that forks, and the connection to it, at whose end it ends."""
    ours, theirs = socket.socketpair()
    environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    environment |= {"PYTHONPATH": str(_ROOT), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    with theirs:
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        inherited = (theirs.fileno(),)
        parent = subprocess.Popen(command, cwd=_ROOT, env=environment, pass_fds=inherited, stdin=subprocess.DEVNULL)
    atexit.register(_end, ours, parent)
    return ours, parent


def _end(connection: socket.socket, parent: subprocess.Popen[bytes]) -> None:
    """End the process that forks before the interpreter complains that it is left."""
    connection.close()
    parent.wait(_END_S)


def _serve(connection: socket.socket) -> None:
    """Fork for each request, and tell its status descriptor how the child ended. Returns in a child, as that."""
    running: dict[int, socket.socket] = {}
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select((connection.fileno(), wake), (), ())
        if wake in ready:
            os.read(wake, 4096)
            _reap(running)
        if connection.fileno() not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(connection, _READ_BYTES, 4)
        if not data:
            sys.exit()
        while not data.endswith(b"\n"):
            data += connection.recv(_READ_BYTES)
        pid = os.fork()
        if not pid:
            return _become(json.loads(data), descriptors)
        status = socket.socket(fileno=descriptors.pop())
        for each in descriptors:
            os.close(each)
        running[pid] = status
        status.send(pid.to_bytes(_PID_BYTES, "big"))


def _reap(running: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with running.pop(pid) as waiting, contextlib.suppress(OSError):
                waiting.send(b"%d" % os.waitstatus_to_exitcode(status))


def _become(request: dict[str, object], descriptors: list[int]) -> None:
    """Make this child what a new interpreter would be."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, 65536)
    arguments, environment = request["arguments"], request["environment"]
    assert isinstance(arguments, list) and isinstance(environment, dict)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    inherited = {str(_ROOT), ""}
    sys.path[:] = [
        os.getcwd(),
        *environment["PYTHONPATH"].split(os.pathsep),
        *(p for p in sys.path if p not in inherited),
    ]
    sys.argv = ["llmproxy", *arguments]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _written(1)
    sys.stderr = _written(2)
    if "COVERAGE_PROCESS_CONFIG" in os.environ:  # an interpreter that starts does this by itself
        importlib.import_module("coverage").process_startup()


def _written(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(open(descriptor, "wb", 0, closefd=False), encoding="utf-8", write_through=True)


def _import() -> None:
    """Import what most runs need."""
    package = importlib.import_module("llmproxy")
    for module in pkgutil.walk_packages(package.__path__, "llmproxy."):
        if module.name != "llmproxy.__main__":
            importlib.import_module(module.name)
    gc.freeze()  # a child that ends would look at all of it: 250 ms


def _main() -> NoReturn:
    connection = socket.socket(fileno=int(sys.argv[1]))
    _import()
    _serve(connection)
    connection.detach()
    runpy.run_module("llmproxy", run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    _main()
