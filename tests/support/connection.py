"""One accepted connection of a fake server, down to the byte.

Reads requests without correcting them, writes exactly the bytes of the test, knows when the peer left and when writing
stalls. It knows nothing of scripts; begin reading at `tests/support/provider.py`, which uses it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Fields = list[tuple[bytes, bytes]]
Greeting = Literal["read", "ignore", "reset"]


class Gone(ConnectionError):
    """The peer is no longer there."""


@dataclass(slots=True, kw_only=True, eq=False)
class Received:
    """One request as it came: names, values and body untouched. `framing` is `length`, `chunked` or `none`."""

    connection: Connection
    head: bytes
    method: str
    target: bytes
    version: bytes
    headers: Fields
    framing: str
    body: bytes = b""
    trailers: Fields = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """Return every value of the header `name`, in order."""
        expected = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == expected]

    def value(self, name: str) -> str | None:
        """Return the only value of the header `name`; None when there is none."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def path(self) -> str:
        """Return the target's path: without query, and without the origin of an absolute form."""
        target = self.target.decode("latin-1")
        if not target.startswith("/"):
            target = "/" + target.partition("://")[2].partition("/")[2]
        return target.partition("?")[0]


class Connection(asyncio.Protocol):
    """`number` counts from 1 in the order of accepting, `served` the answers given so far. `peer_left_s` is the
    monotonic time at which the peer closed or reset, `stalled_s` since when it takes no more bytes; None while neither
    is so. `busy` says that a request is being read or answered. `greeting`: `read` what comes, `ignore` it for ever, or
    `reset` at once."""

    def __init__(self, number: int, greeting: Greeting, begin: Callable[[Connection], None]) -> None:
        self.number = number
        self._begin = begin
        self.served = 0
        self.busy = False
        self._greeting = greeting
        self.sent_bytes = 0
        self.peer_left_s: float | None = None
        self.stalled_s: float | None = None
        self.transport: asyncio.Transport
        self.left = asyncio.Event()
        self._ended_by_us = False
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._greeting == "ignore":
            transport.pause_reading()
        elif self._greeting == "reset":
            self.rst()
        self._begin(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def eof_received(self) -> bool:
        self._peer_left()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer_left()

    def pause_writing(self) -> None:
        self.stalled_s = time.monotonic()
        self._writable.clear()

    def resume_writing(self) -> None:
        self.stalled_s = None
        self._writable.set()

    def _peer_left(self) -> None:
        if self.peer_left_s is None and not self._ended_by_us:
            self.peer_left_s = time.monotonic()
        self.left.set()
        self._arrived.set()
        self._writable.set()

    async def send(self, data: bytes) -> None:
        """Write `data` and wait while the peer does not take it. Raises Gone."""
        if self.left.is_set() or self._ended_by_us:
            raise Gone("sending to a closed connection")
        self.transport.write(data)
        self.sent_bytes += len(data)
        await self._writable.wait()

    def fin(self) -> None:
        """End in good order: what was written still arrives, then FIN."""
        self._ended_by_us = True
        self.transport.close()

    def rst(self) -> None:
        """End with a reset."""
        if self.left.is_set():
            return
        self._ended_by_us = True
        peer: socket.socket = self.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def until(self, mark: bytes) -> bytes:
        """Return the bytes up to and with `mark`. Raises Gone when the peer leaves before it."""
        while (at := self._buffer.find(mark)) < 0:
            await self._more()
        return self._take(at + len(mark))

    async def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        return self._take(size)

    async def some(self) -> bytes:
        while not self._buffer:
            await self._more()
        return self._take(len(self._buffer))

    async def _more(self) -> None:
        self._arrived.clear()
        if self.left.is_set():
            raise Gone("the peer left")
        await self._arrived.wait()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


async def read_head(connection: Connection) -> Received:
    """Return the next request up to its empty line. Raises Gone."""
    head = await connection.until(b"\r\n\r\n")
    connection.busy = True
    first, *lines = head[:-4].split(b"\r\n")
    method, target, version = first.split(b" ")
    headers = _fields(lines)
    names = {name.lower() for name, _ in headers}
    framing = "chunked" if b"transfer-encoding" in names else "length" if b"content-length" in names else "none"
    return Received(
        connection=connection,
        head=head,
        method=method.decode(),
        target=target,
        version=version,
        headers=headers,
        framing=framing,
    )


async def read_body(request: Received) -> None:
    """Fill in `request.body`, and the trailers of a chunked one. Raises Gone."""
    connection = request.connection
    if request.value("expect"):
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    if request.framing == "length":
        request.body = await connection.exactly(int(request.value("content-length") or 0))
    elif request.framing == "chunked":
        parts = []
        while size := int((await connection.until(b"\r\n")).partition(b";")[0], 16):
            parts.append((await connection.exactly(size + 2))[:-2])
        request.body = b"".join(parts)
        lines = []
        while (line := await connection.until(b"\r\n")) != b"\r\n":
            lines.append(line[:-2])
        request.trailers = _fields(lines)


def _fields(lines: list[bytes]) -> Fields:
    pairs = (line.partition(b":") for line in lines)
    return [(name, value.strip(b" \t")) for name, _, value in pairs]
