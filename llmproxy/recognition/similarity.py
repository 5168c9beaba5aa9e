"""How much of a conversation is known already, by its words: for one whose beginning was trimmed or changed.

A piece becomes a sample of hashes of its word triples, the same for the same words wherever the piece stands. A sketch
is the samples of a conversation's last pieces, some kilobytes. Begin reading at `ComparedRequest`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from zlib import crc32

from llmproxy.dialects.history import MADE, Piece

SHINGLE_WORDS = 3
# Of long pieces so much is looked at, and so many hashes are kept of each: the smallest, which any two like pieces
# share in proportion to their similarity.
PIECE_CHARACTERS = 8000
MOST_HASHES = 128
PIECES = 32
# Less is no evidence: a "yes" stands in every conversation.
_FEWEST = 4
# How many pieces at the front may be a summary.
_SUMMARY_PIECES = 2

WordHashes = frozenset[int]


def word_hashes(piece: Piece) -> WordHashes:
    """The sample of one piece; who said it counts."""
    role, text = piece
    words = text[:PIECE_CHARACTERS].encode("utf-8", "surrogatepass").split()
    shingles = (
        zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False)
        if len(words) > SHINGLE_WORDS
        else (words,)
    )
    hashes = set(map(crc32, map(b" ".join, shingles), repeat(crc32(role.encode()))))
    return frozenset(hashes if len(hashes) <= MOST_HASHES else sorted(hashes)[:MOST_HASHES])


def sketch(pieces: Sequence[Piece]) -> bytes:
    """The samples of the last pieces, and of the first, as bytes to be kept."""
    kept = pieces if len(pieces) <= PIECES else [pieces[0], *pieces[-PIECES + 1 :]]
    return array("I", (each for piece in kept for each in sorted(word_hashes(piece)))).tobytes()


def read_sketch(raw: bytes) -> WordHashes:
    """The hashes in a sketch that was kept. Its beginning may have been cut off."""
    hashes = array("I")
    hashes.frombytes(raw[len(raw) % hashes.itemsize :])
    return frozenset(hashes)


class ComparedRequest:
    """A request that is to be compared with several conversations."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        before = _before_last_turn(pieces)
        self._answered = bool(before)
        compared = before or pieces
        self._samples = [word_hashes(piece) for piece in compared[-PIECES:]]

    def similarity(self, known: WordHashes) -> float:
        """How much of the request is in a conversation with the hashes `known`, from 0 to 1.

        What stood before the last answer is compared, without a summary at its front; a request without any answer is
        compared as a whole, both ways. Its last piece must be like something known by itself.
        """
        samples = self._samples
        if not self._answered:
            return min(_overlap(samples, known), _share(samples[-1:], known)) if samples else 0.0
        fronts = range(min(_SUMMARY_PIECES + 1, len(samples)))
        shares = [_share(samples[front:], known) for front in fronts if _says_enough(samples[front:])]
        return min(max(shares, default=0.0), _share(samples[-1:], known))

    def repeats(self, known: WordHashes) -> bool:
        """Whether a whole piece of it is in that conversation."""
        return any(each <= known for each in self._samples if each)


def _before_last_turn(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """What the client knew when it asked last: all before the last answer."""
    end = len(pieces)
    while end and pieces[end - 1][0] not in MADE:
        end -= 1
    while end and pieces[end - 1][0] in MADE:
        end -= 1
    return pieces[:end]


def _says_enough(samples: Sequence[WordHashes]) -> bool:
    return sum(map(len, samples)) >= _FEWEST


def _share(samples: Iterable[WordHashes], known: WordHashes) -> float:
    total = found = 0
    for each in samples:
        total += len(each)
        found += len(each & known)
    return found / total if total else 0.0


def _overlap(samples: Sequence[WordHashes], known: WordHashes) -> float:
    """What both have in common, of all that either has."""
    own = frozenset().union(*samples)
    return len(own & known) / len(own | known) if own or known else 0.0
