"""Reads answers of a Redis within bounds: what a server announces is not believed, and what it sends is counted.

The client library's own parser collects whatever a server sends. `BoundedParser` refuses an answer that is larger than
the command can have; the library drops the connection then. Begin reading at `BoundedParser.read_response`.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

from redis._parsers import _AsyncRESP2Parser
from redis.exceptions import InvalidResponse

USUAL_BYTES = 8 << 20  # for answers that have no value of unknown size, such as lists of sessions
answer_limit = ContextVar("answer_limit", default=USUAL_BYTES)
"""How many bytes the answer to the command under way may have, overhead included."""

VALUE_BYTES = 256  # the cost of a value beside its bytes, such as one of a list of numbers
_LARGE_BYTES = 1 << 20
_LARGE_AT_ONCE = 4


def new_room() -> asyncio.Semaphore:
    """Return the room that the connections of one link share for large values."""
    return asyncio.Semaphore(_LARGE_AT_ONCE)


class BoundedParser(_AsyncRESP2Parser):
    """Parses one connection. Raises InvalidResponse beyond `answer_limit`. Values over a megabyte share `room`."""

    def __init__(self, room: asyncio.Semaphore, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._room = room
        self._in_room = False
        self._left_bytes = 0

    async def read_response(self, disable_decoding: bool = False) -> Any:
        """Return the next answer, of at most as many bytes as the command under way may get."""
        self._left_bytes = answer_limit.get()
        try:
            return await super().read_response(disable_decoding)
        finally:
            if self._in_room:
                self._in_room = False
                self._room.release()

    async def _read(self, length: int) -> bytes:
        self._spend(length)
        if length > _LARGE_BYTES and not self._in_room:
            await self._room.acquire()
            self._in_room = True
        return await super()._read(length)

    async def _readline(self) -> bytes:
        """Return a line; asyncio bounds its length at 64 KB."""
        line = await super()._readline()
        self._spend(len(line) + VALUE_BYTES)
        return line

    def _spend(self, size_bytes: int) -> None:
        if not 0 <= size_bytes <= self._left_bytes:
            raise InvalidResponse(f"its answer is larger than any that was stored: another {size_bytes} bytes")
        self._left_bytes -= size_bytes
