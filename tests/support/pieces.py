"""A stream of bytes whose reads a test chooses."""

from __future__ import annotations

from llmproxy.errors import BrokenStream


class Pieces:
    """A ByteStream of what a test gives it."""

    def __init__(self, *pieces: bytes, breaks: bool = False) -> None:
        self._pieces = list(pieces)
        self._breaks = breaks
        self.closed = 0

    async def read(self) -> bytes:
        if not self._pieces and self._breaks:
            raise BrokenStream("cut")
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self.closed += 1
