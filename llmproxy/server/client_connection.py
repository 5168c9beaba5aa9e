"""The part of a client's connection that an exchange uses."""

from __future__ import annotations

import asyncio
from typing import Protocol


class ClientConnection(Protocol):
    """The connection that a handler writes to, or gives away."""

    @property
    def writing_paused(self) -> bool: ...

    async def drain(self) -> None:
        """Wait until the client has read enough. Raises ConnectionError when it left."""

    def take_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport | None, bytes]:
        """Give the socket of a WebSocket to `protocol`. Return its transport, None where it is closed, and what came
        behind the head."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Learn that the socket is lost, which was given away."""
