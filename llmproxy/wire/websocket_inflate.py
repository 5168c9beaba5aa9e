"""Read messages that are compressed as permessage-deflate says (RFC 7692).

Each message may refer to those before it, so that all of them are decompressed, a piece at a time, into no more memory
than a message may take. Begin reading at `Inflater.message`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

_TAIL = b"\x00\x00\xff\xff"
_PIECE_BYTES = 64 * 1024
_EXTENSION = "permessage-deflate"


def compresses(extensions: str) -> bool:
    """Return whether the Sec-WebSocket-Extensions of an answer agree on compression."""
    return any(each.split(";")[0].strip().lower() == _EXTENSION for each in extensions.split(","))


class Inflater:
    """Decompresses the messages of one direction. `limit_bytes` is the longest that a message may become."""

    __slots__ = ("_decoder", "_limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        self._limit_bytes = limit_bytes

    def message(self, parts: Iterable[bytes]) -> bytes | None:
        """Return a message; None for one that is too long, or no valid data: none after it can be read."""
        pieces, size = [], 0
        try:
            for part in (*parts, _TAIL):
                piece = part
                while part or len(piece) == _PIECE_BYTES:
                    piece = self._decoder.decompress(part, _PIECE_BYTES)
                    size += len(piece)
                    if size > self._limit_bytes:
                        return None
                    pieces.append(piece)
                    part = self._decoder.unconsumed_tail
        except zlib.error:
            return None
        if self._decoder.eof:  # a last block, which some peers send: the next message begins anew
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        return b"".join(pieces)
