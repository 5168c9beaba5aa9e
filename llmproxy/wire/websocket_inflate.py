"""Read messages that are compressed as permessage-deflate says (RFC 7692).

Each message may refer to those before it, so that all of them are decompressed, a piece at a time, into no more memory
than a message may take. Begin reading at `Inflater.message`.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence

_TAIL = b"\x00\x00\xff\xff"
_PIECE_BYTES = 64 * 1024
# What peers may let us decompress: so many times what they send, and what silence in base64 takes, which packs to
# nearly nothing. Without a limit, 100 KB of messages of nothing but zeros would take 2 s of the event loop.
_USUAL_RATIO = 64
_BYTES_PER_S = 4 * 1024 * 1024
_EXTENSION = "permessage-deflate"


def compresses(extensions: str) -> bool:
    """Return whether the Sec-WebSocket-Extensions of an answer agree on compression."""
    return any(each.split(";")[0].strip().lower() == _EXTENSION for each in extensions.split(","))


class Inflater:
    """Decompresses the messages of one direction. `limit_bytes` is the longest that a message may become, and the most
    that may come at once of what is packed more tightly than usual; `clock` returns seconds."""

    __slots__ = ("_at_s", "_clock", "_decoder", "_left_bytes", "_limit_bytes")

    def __init__(self, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._left_bytes = float(limit_bytes)
        self._at_s = clock()

    def message(self, parts: Sequence[bytes]) -> bytes | None:
        """Return a message; None for one that is too long, or no valid data: none after it can be read."""
        now_s = self._clock()
        usual_bytes = _USUAL_RATIO * sum(map(len, parts))
        self._left_bytes = min(self._left_bytes + _BYTES_PER_S * (now_s - self._at_s), self._limit_bytes)
        self._at_s = now_s
        limit_bytes = min(self._limit_bytes, self._left_bytes + usual_bytes)
        pieces, size = [], 0
        try:
            for part in (*parts, _TAIL):
                piece = part
                while part or len(piece) == _PIECE_BYTES:
                    piece = self._decoder.decompress(part, _PIECE_BYTES)
                    size += len(piece)
                    if size > limit_bytes:
                        return None
                    pieces.append(piece)
                    part = self._decoder.unconsumed_tail
        except zlib.error:
            return None
        self._left_bytes -= max(size - usual_bytes, 0)
        if self._decoder.eof:  # a last block, which some peers send: the next message begins anew
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        return b"".join(pieces)
