"""A connection to a provider that has become a WebSocket: check its handshake, and give it to whoever splices it.

With `pool.py` and `connection.py` it touches aiohttp's less public side. Begin reading at
`UpgradedConnection.take_over`.
"""

from __future__ import annotations

import asyncio

from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage

from llmproxy.target import UpstreamRequest
from llmproxy.upstream.connection import UpstreamConnection
from llmproxy.wire.websocket import accept_of, has_token


def check_upgrade(request: UpstreamRequest, message: RawResponseMessage) -> None:
    """Raise HttpProcessingError for a 101 that does not answer the handshake of `request` (RFC 6455, 4.1)."""
    accept = message.headers.get("Sec-WebSocket-Accept", "").strip()
    if accept != accept_of(request.headers.get("Sec-WebSocket-Key", "").strip()):
        raise HttpProcessingError(message="its handshake accepts another key")
    if not has_token(message.headers.getall("Upgrade", ()), "websocket"):
        raise HttpProcessingError(message="it switched to another protocol")


class UpgradedConnection:
    """One connection after the 101. What the provider sends is kept, up to a limit, until it is taken over."""

    __slots__ = ("_connection", "_taken")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._taken = False

    def take_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport | None, bytes]:
        """Give the connection to `protocol`. Return its transport, None where it is closed, and what came behind the
        head."""
        upstream = self._connection.protocol
        assert isinstance(upstream, UpstreamConnection), "not closed before"
        self._taken = True
        tail, upstream._tail = upstream._tail, b""
        transport = upstream.transport
        if transport is None or transport.is_closing():
            return None, tail
        upstream.read_timeout = None
        upstream._parser = None  # 5 KB for each open WebSocket
        transport.set_protocol(protocol)
        transport.resume_reading()
        return transport, tail

    def release(self) -> None:
        """Forget the connection, which is lost: the pool waits for that when it closes."""
        upstream = self._connection.protocol
        if isinstance(upstream, UpstreamConnection):
            upstream.connection_lost(None)
        self._connection.close()

    def close(self) -> None:
        """Close the connection, unless somebody has taken it over."""
        if not self._taken and self._connection.protocol is not None:
            self._connection.protocol.abort()
            self._connection.close()
