"""Prefix hashes of a conversation: a rolling hash over its pieces, so that the hash of its end finds a beginning.

One key for each piece, from the identity of the client, the length and rolling checksum of all pieces before it, and
the piece itself: two clients never share one. Begin reading at `PrefixHashes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias
from zlib import crc32

from llmproxy.dialects.history import ASSISTANT, CALL, MADE, TOOL, USER, Piece

# A request usually adds an answer and a turn to an earlier one: the keys of these beginnings are built first, those of
# shorter ones on demand. A key takes 6 µs for a long piece, of which a session of 300 KB has 400.
MAX_HASHES = 256
# Seeds that separate equal texts of different roles.
_ROLE_SEEDS = {role: crc32(role.encode()) for role in (USER, ASSISTANT, CALL, TOOL)}

RunningSum: TypeAlias = tuple[int, int]
"""The length in bytes and the checksum of the first pieces of a history."""

KnownKeys: TypeAlias = dict[tuple[str, int], str]
"""The keys of a history that were built already, by tenant and number of pieces."""


def running_sums(pieces: Sequence[Piece], known: Sequence[RunningSum] = ()) -> list[RunningSum]:
    """Return the sums of no pieces, of the first, of the first two and so on. Those that are `known` are not built
    again."""
    sums = [*known] or [(0, 0)]
    size, checksum = sums[-1]
    for role, text in islice(pieces, len(sums) - 1, None):
        data = _bytes(text)
        size += len(data)
        checksum = crc32(data, checksum ^ _ROLE_SEEDS[role])
        sums.append((size, checksum))
    return sums


class PrefixHashes:
    """The keys of `pieces`, at least one, with their `sums` where they are known, for `tenant`. Those in `known` are
    not built again; those that are built are added.

    `near` has those of the beginnings without some of the last turn and of the answer before it, the longest first.
    `learned` has those that later requests look up: of the whole request, and of it without its last turn, which may be
    edited, or be the beginning of an answer.
    """

    __slots__ = ("_known", "_near_from", "_pieces", "_sums", "_tenant", "_turn", "near")

    def __init__(
        self,
        tenant: str,
        pieces: Sequence[Piece],
        sums: Sequence[RunningSum] | None = None,
        known: KnownKeys | None = None,
    ) -> None:
        self._known: KnownKeys = {} if known is None else known
        self._tenant = tenant
        self._pieces = pieces
        self._sums = running_sums(pieces) if sums is None else sums
        count = len(pieces)
        self._turn = _before_turn(pieces, count)
        self._near_from = max(_before_turn(pieces, self._turn) - 1, 0)
        self.near = self._keys(self._near_from, count)

    @property
    def whole(self) -> str:
        """Return the key of the whole request."""
        return self.near[0]

    @property
    def learned(self) -> list[str]:
        """Return the keys under which later requests find this one."""
        count = len(self._pieces)
        return [self.near[count - place] for place in sorted({self._turn or count, count})]

    def further(self) -> list[str]:
        """Return the keys of beginnings shorter than those of `near`, the longest first."""
        return self._keys(max(len(self._pieces) - MAX_HASHES, 0), self._near_from)

    def key_at(self, length: int) -> str:
        """Return the key of the beginning of `length` pieces."""
        place = len(self._pieces) - length
        return self.near[place] if place < len(self.near) else self._keys(length - 1, length)[0]

    def length_at(self, place: int) -> int:
        """Return the number of pieces of the beginning at `place` in `near` followed by `further`."""
        return len(self._pieces) - place

    def _keys(self, start: int, end: int) -> list[str]:
        """Return the keys of the beginnings of `start` + 1 to `end` pieces, the longest first."""
        known, tenant = self._known, self._tenant
        keys = []
        for count in range(end, start, -1):
            key = known.get((tenant, count))
            if key is None:
                head = b"%b %d %d %d " % (tenant.encode(), count, *self._sums[count])
                digest = hashlib.sha256(head + _bytes(self._pieces[count - 1][1])).hexdigest()
                key = known[tenant, count] = f"h:{digest[:32]}"
            keys.append(key)
        return keys


def _bytes(text: str) -> bytes:
    """Encode the text as Python stores it: UTF-8 takes eight times as long for text that is not ASCII."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass")


def _before_turn(pieces: Sequence[Piece], end: int) -> int:
    """Count the pieces before the turn that ends at `end`: the client's, or the answer before it."""
    answers = end > 0 and pieces[end - 1][0] in MADE
    while end and (pieces[end - 1][0] in MADE) is answers:
        end -= 1
    return end
