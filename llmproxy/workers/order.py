"""Start a worker: a fresh process of the same program, which loads the configuration by itself.

A process that is forked instead would inherit threads' locks, a running event loop, and on macOS libraries that do not
survive it; it would be there in 10 ms instead of 600, which matters at the start and after a crash alone. What a worker
cannot find out for itself is in its `Order`, which goes over its socket before anything else. Begin reading at `Order`.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.errors import ProxyError

if TYPE_CHECKING:
    from llmproxy.config.load import Loaded

COMMAND = "worker"
"""The hidden command of the program; its arguments are the descriptors of a worker's two sockets."""

_LENGTH_BYTES = 8
_PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Hold what a worker is to be: the `number`-th (from 1) of `count`. `pid` and `started_s` (`time.monotonic()`) are
    those
    of the server, whose parent process has them. `source` loads the configuration, `dotenv` are the variables of `.env`
    that are in the environment, `path` is where Python looks for modules."""

    number: int
    count: int
    pid: int
    started_s: float
    source: Callable[[], Loaded]
    dotenv: Mapping[str, str]
    path: Sequence[str]


def start_process(link: socket.socket, channel: socket.socket) -> subprocess.Popen[bytes]:
    """Start a worker with its ends of two sockets. It belongs to a process group of its own: signals of the terminal
    are for the parent. Raises OSError."""
    descriptors = (link.fileno(), channel.fileno())
    return subprocess.Popen(
        worker_command(descriptors),
        env=worker_environment(os.environ),
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        process_group=0,
    )


def worker_command(descriptors: Sequence[int]) -> list[str]:
    """Return the command that starts a worker. The executable is its own interpreter."""
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "llmproxy"]
    return [*program, COMMAND, *map(str, descriptors)]


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker, in which Python finds this package wherever it is."""
    root = Path(__file__).parent.parent.parent
    paths = environ.get("PYTHONPATH", "").split(os.pathsep)
    if getattr(sys, "frozen", False) or root.name in _PACKAGES or str(root) in paths:
        return dict(environ)
    return {**environ, "PYTHONPATH": os.pathsep.join([str(root), *filter(None, paths)])}


async def send_order(end: socket.socket, order: Order) -> None:
    """Send an order. Raises ProxyError where the configuration has values that no other process can have; OSError."""
    try:
        data = pickle.dumps(order)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        message = f"server.workers: the configuration cannot be given to other processes ({error}); use one worker"
        raise ProxyError(message, code="unusable_workers") from error
    end.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(end, len(data).to_bytes(_LENGTH_BYTES) + data)


def receive_order(end: socket.socket) -> Order:
    """Return the order that the parent sent, and look for modules where it does. Raises EOFError when it is gone.
    Blocks.

    The parent is the program itself, so that unpickling what it sends runs nothing foreign.
    """
    length = int.from_bytes(_read(end, _LENGTH_BYTES))
    data = _read(end, length)
    order = pickle.loads(data)
    assert isinstance(order, Order)
    sys.path[:] = order.path
    return order


def _read(end: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = end.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError("the parent process is gone")
        data += part
    return bytes(data)
