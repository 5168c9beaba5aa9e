"""A conversation's trail: a rolling hash over what was said, so that a known beginning is found by looking up its end.

One hash a piece, each over all pieces up to it and the client's own tenant: two clients never share one. Begin at
`Trail`.
"""

from __future__ import annotations

import hashlib

from llmproxy.dialects.history import MADE, Piece

# Only the last beginnings are looked for: a request adds a few pieces to one that was seen.
MOST_LOOKED_FOR = 256


class Trail:
    """The hashes of `pieces` for `tenant`.

    `known_by` are the keys under which this request is to be found by later ones: as a whole, and without its last
    turn, since that may be edited.
    """

    __slots__ = ("_count", "_hashes", "_turn")

    def __init__(self, tenant: str, pieces: list[Piece]) -> None:
        self._count = len(pieces)
        self._turn = _last_made(pieces) + 1
        hashed = hashlib.sha256(tenant.encode())
        first = self._count - MOST_LOOKED_FOR
        hashes = []
        for number, (role, text) in enumerate(pieces):
            hashed.update(b"\0%b\0%b" % (role.encode(), _bytes(text)))
            if number >= first:
                hashes.append(hashed.copy().digest())
        self._hashes = hashes

    @property
    def whole(self) -> str:
        """The key of this very request."""
        return _key(self._hashes[-1])

    @property
    def looked_for(self) -> list[str]:
        """The keys of all beginnings, the longest first."""
        return [_key(each) for each in reversed(self._hashes)]

    def known(self, place: int) -> int:
        """How many pieces the beginning at `place` of `looked_for` has."""
        return self._count - place

    @property
    def known_by(self) -> list[str]:
        """The keys to be found by."""
        places = {self._count, self._turn} if self._turn else {self._count}
        skipped = self._count - len(self._hashes)
        return [_key(self._hashes[place - skipped - 1]) for place in sorted(places) if place > skipped]


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _key(hashed: bytes) -> str:
    return f"h:{hashed.hex()[:32]}"


def _last_made(pieces: list[Piece]) -> int:
    """The index of the last piece that a model said; -1 when there is none."""
    for index in range(len(pieces) - 1, -1, -1):
        if pieces[index][0] in MADE:
            return index
    return -1
