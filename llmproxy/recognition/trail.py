"""A conversation's trail: a rolling hash over what was said, so that a known beginning is found by looking up its end.

One key a piece, made of the client's own tenant, of how much was said up to it with its rolling checksum, and of the
piece itself: two clients never share one. Begin at `Trail`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from zlib import crc32

from llmproxy.dialects.history import MADE, Piece

# A request adds a few pieces to one that was seen: first the keys of the last beginnings are made, then, for who asks
# for them, those of more. Over 200 KB in 170 pieces the last 16 take 125 µs, a SHA-256 of everything with a key at
# each piece takes 250 µs.
NEAR = 16
MOST_LOOKED_FOR = 256
_TOGETHER = 16  # pieces a step: larger blocks of memory cost more than their bytes


class Trail:
    """The keys of `pieces`, at least one, for `tenant`.

    `near` are those of the last beginnings, the longest first, `known_by` those under which this request is to be found
    by later ones: as a whole, and without its last turn, since that may be edited.
    """

    __slots__ = ("_near_from", "_pieces", "_tenant", "_turn", "near")

    def __init__(self, tenant: str, pieces: Sequence[Piece]) -> None:
        self._tenant = tenant
        self._pieces = pieces
        self._turn = _last_made(pieces) + 1
        count = len(pieces)
        self._near_from = max(min(count - NEAR, self._turn - 1 if self._turn else count), 0)
        self.near = self._keys(self._near_from, count)

    @property
    def whole(self) -> str:
        """The key of this very request."""
        return self.near[0]

    @property
    def known_by(self) -> list[str]:
        """The keys to be found by."""
        count = len(self._pieces)
        return [self.near[count - place] for place in sorted({self._turn or count, count})]

    def further(self) -> list[str]:
        """The keys of beginnings that are shorter than those of `near`, the longest first."""
        return self._keys(max(len(self._pieces) - MOST_LOOKED_FOR, 0), self._near_from)

    def known(self, place: int) -> int:
        """How many pieces the beginning at `place` of `near` and `further`, one after the other, has."""
        return len(self._pieces) - place

    def _keys(self, start: int, end: int) -> list[str]:
        """The keys of the beginnings of `start` + 1 to `end` pieces, the longest first."""
        size = checksum = 0
        for first in range(0, start, _TOGETHER):
            data = _bytes(self._pieces[first : min(first + _TOGETHER, start)])
            size += len(data)
            checksum = crc32(data, checksum)
        seed = self._tenant.encode()
        keys = []
        for count in range(start + 1, end + 1):
            data = _bytes(self._pieces[count - 1 : count])
            size += len(data)
            checksum = crc32(data, checksum)
            hashed = hashlib.sha256(b"%b %d %d %d " % (seed, count, size, checksum))
            hashed.update(data)
            keys.append(f"h:{hashed.hexdigest()[:32]}")
        keys.reverse()
        return keys


def _bytes(pieces: Sequence[Piece]) -> bytes:
    try:
        return b"".join([f"{role}\0{text}\0".encode() for role, text in pieces])
    except UnicodeEncodeError:
        return b"".join([f"{role}\0{text}\0".encode("utf-8", "surrogatepass") for role, text in pieces])


def _last_made(pieces: Sequence[Piece]) -> int:
    """The index of the last piece that a model said; -1 when there is none."""
    for index in range(len(pieces) - 1, -1, -1):
        if pieces[index][0] in MADE:
            return index
    return -1
