"""Similarity of a request and a conversation by their words, for conversations with a trimmed or changed beginning.

A piece becomes a set of hashes of its word triples (shingles), independent of its position. A sketch is the hashes of
the last pieces of a conversation, some kilobytes. Begin reading at `ComparedRequest`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from zlib import crc32

from llmproxy.dialects.history import MADE, Piece

SHINGLE_WORDS = 3
# Limits for each piece: characters, and hashes. The smallest hashes are kept; two pieces share a proportion of them
# equal to their similarity.
PIECE_CHARACTERS = 8000
MOST_HASHES = 128
PIECES = 32
# Fewer hashes are no evidence: every conversation has a "yes".
_MIN_HASHES = 4
# The number of pieces at the front that may be a summary.
_SUMMARY_PIECES = 2

WordHashes = frozenset[int]


def word_hashes(piece: Piece) -> WordHashes:
    """Return the hashes of one piece; its role counts."""
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
    """Encode the hashes of the first and the last pieces, for a store."""
    selected = pieces if len(pieces) <= PIECES else [pieces[0], *pieces[-PIECES + 1 :]]
    return array("I", (each for piece in selected for each in sorted(word_hashes(piece)))).tobytes()


def read_sketch(raw: bytes) -> WordHashes:
    """Decode the hashes of a stored sketch. Its beginning may be cut off."""
    hashes = array("I")
    hashes.frombytes(raw[len(raw) % hashes.itemsize :])
    return frozenset(hashes)


class ComparedRequest:
    """A request for comparison with several conversations."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        before = _before_last_turn(pieces)
        self._answered = bool(before)
        compared = before or pieces
        self._samples = [word_hashes(piece) for piece in compared[-PIECES:]]

    def similarity(self, sketch: WordHashes) -> float:
        """Return how much of the request is in a conversation with the hashes `sketch`, from 0 to 1.

        The pieces before the last answer are compared, without a summary at the front; a request without an answer is
        compared as a whole, in both directions. Its last piece alone must be similar to the conversation too.
        """
        samples = self._samples
        if not self._answered:
            return min(_overlap(samples, sketch), _share(samples[-1:], sketch)) if samples else 0.0
        fronts = range(min(_SUMMARY_PIECES + 1, len(samples)))
        shares = [_share(samples[front:], sketch) for front in fronts if _is_evidence(samples[front:])]
        return min(max(shares, default=0.0), _share(samples[-1:], sketch))

    def repeats(self, sketch: WordHashes) -> bool:
        """Return whether the conversation contains a whole piece of the request."""
        return any(each <= sketch for each in self._samples if each)


def _before_last_turn(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Return the pieces before the last answer: those of the previous request."""
    end = len(pieces)
    while end and pieces[end - 1][0] not in MADE:
        end -= 1
    while end and pieces[end - 1][0] in MADE:
        end -= 1
    return pieces[:end]


def _is_evidence(samples: Sequence[WordHashes]) -> bool:
    return sum(map(len, samples)) >= _MIN_HASHES


def _share(samples: Iterable[WordHashes], sketch: WordHashes) -> float:
    total = common = 0
    for each in samples:
        total += len(each)
        common += len(each & sketch)
    return common / total if total else 0.0


def _overlap(samples: Sequence[WordHashes], sketch: WordHashes) -> float:
    """Return the size of the intersection relative to the union (Jaccard index)."""
    own = frozenset().union(*samples)
    return len(own & sketch) / len(own | sketch) if own or sketch else 0.0
