"""A fake provider of WebSockets, made with the package `websockets`: it keeps the handshakes, and talks by a script.

Without a script it sends every message back. Like `Upstream`, it runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import http
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from llmproxy.wire.websocket import unmask
from tests.support.raw_http import RawClient
from tests.support.waiting import PATIENCE_S

Talk = Callable[[ServerConnection], Awaitable[None]]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)
"""The lines of a handshake, for raw clients."""

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
"""The answer to it, for raw providers (the example of RFC 6455)."""


MASK = b"\x01\x02\x03\x04"


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, key: bytes = b"", flags: int = 0) -> bytes:
    """Return a frame, masked with `key` where there is one."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    if key:
        length, payload = bytes([length[0] | 0x80]) + length[1:], key + unmask(payload, key)
    return bytes([(0x80 if final else 0) | flags | opcode]) + length + payload


async def echo(connection: ServerConnection) -> None:
    """Talk: send every message back."""
    async for message in connection:
        await connection.send(message)


class SocketUpstream:
    """`with SocketUpstream() as upstream`. `status` refuses handshakes, `closed` are the codes of those that ended.
    `began` is for the test, such as the time at which it began."""

    def __init__(self, talk: Talk = echo, **options: Any) -> None:
        self.talk = talk
        self.status = 0
        self.handshakes: list[Request] = []
        self.closed: list[int | None] = []
        self.port = 0
        self.began = ""
        self._options = {"max_size": None, "ping_interval": None, **options}
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="socket upstream", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def last(self) -> Request:
        return self.handshakes[-1]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await serve(
            self._talk, "127.0.0.1", 0, process_request=self._answer, select_subprotocol=_first, **self._options
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close(close_connections=True)
        await server.wait_closed()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        if not self.status:
            return None
        response = connection.respond(http.HTTPStatus(self.status), json.dumps({"error": {"code": "theirs"}}))
        response.headers["X-Theirs"] = "1"
        return response

    async def _talk(self, connection: ServerConnection) -> None:
        try:
            await self.talk(connection)
            await connection.close()
        except ConnectionClosed:
            pass
        finally:
            await connection.wait_closed()
            self.closed.append(connection.close_code)


def _first(connection: ServerConnection, offered: Any) -> Subprotocol | None:
    return offered[0] if offered else None


def open_socket(port: int, target: str, *, headers: dict[str, str] | None = None, **options: Any) -> connect:
    """Return the context of a WebSocket to the program; it has no limits of its own."""
    options = {"max_size": None, "ping_interval": None, "open_timeout": PATIENCE_S, "proxy": None, **options}
    return connect(f"ws://127.0.0.1:{port}{target}", additional_headers=headers, **options)


class RawPeer(RawClient):
    """The provider's end of one connection, down to the byte: all that a raw client can do."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._socket.settimeout(PATIENCE_S)
        self._buffer = b""
        self.head = self._until(b"\r\n\r\n")


class RawProvider:
    """A provider that keeps to nothing: `take` gives the test the next connection, whose head is read."""

    def __init__(self) -> None:
        self._peers: list[RawPeer] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def take(self) -> RawPeer:
        self._peers.append(RawPeer(self._listener.accept()[0]))
        return self._peers[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._peers:
            each.close()
        self._listener.close()
