"""A conversation's hashes: a rolling hash over what was said, so that a known beginning is found by looking up its end.

One key a piece, made of the client's own tenant, of how much was said up to it with its rolling checksum, and of the
piece itself: two clients never share one. Begin at `PrefixHashes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from zlib import crc32

from llmproxy.dialects.history import ASSISTANT, CALL, MADE, TOOL, USER, Piece

# A request adds a few pieces to one that was seen: first the keys of the last beginnings are made, then, for who asks
# for them, those of more. Over 200 KB in 190 pieces the last 16 take 120 µs, a SHA-256 of everything with a key at
# each piece takes 250 µs.
NEAR = 16
MOST_LOOKED_FOR = 256
# What tells one speaker's words from another's.
_SPEAKERS = {role: crc32(role.encode()) for role in (USER, ASSISTANT, CALL, TOOL)}


class PrefixHashes:
    """The keys of `pieces`, at least one, for `tenant`.

    `near` are those of the last beginnings, the longest first, `known_by` those under which this request is to be found
    by later ones: as a whole, and without its last turn, since that may be edited, or be the beginning of an answer.
    """

    __slots__ = ("_near_from", "_pieces", "_tenant", "_turn", "near")

    def __init__(self, tenant: str, pieces: Sequence[Piece]) -> None:
        self._tenant = tenant
        self._pieces = pieces
        self._turn = _before_last_turn(pieces)
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
        for role, text in self._pieces[:start]:
            data = _bytes(text)
            size += len(data)
            checksum = crc32(data, checksum ^ _SPEAKERS[role])
        seed = self._tenant.encode()
        keys = []
        for count in range(start + 1, end + 1):
            role, text = self._pieces[count - 1]
            data = _bytes(text)
            size += len(data)
            checksum = crc32(data, checksum ^ _SPEAKERS[role])
            hashed = hashlib.sha256(b"%b %d %d %d " % (seed, count, size, checksum))
            hashed.update(data)
            keys.append(f"h:{hashed.hexdigest()[:32]}")
        keys.reverse()
        return keys


def _bytes(text: str) -> bytes:
    """The text as bytes, as Python holds it: UTF-8 takes eight times as long for what is no ASCII."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass")


def _before_last_turn(pieces: Sequence[Piece]) -> int:
    """How many pieces stand before what the client asks now, or before an answer that it began itself."""
    end = len(pieces)
    begun = bool(pieces) and pieces[-1][0] in MADE
    while end and (pieces[end - 1][0] in MADE) is begun:
        end -= 1
    return end
