"""Read the history of a request; where the request goes on from an earlier one, only that of its new messages.

Begin reading at `history_of_turns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from llmproxy.body import Body
from llmproxy.dialects.dialect import Readers
from llmproxy.dialects.history import NO_HISTORY, History, Piece
from llmproxy.recognition.prefix_hash import KnownKeys, RunningSum, running_sums
from llmproxy.wire.repeated_json import ReadObject

_NAME = "recognition.history"
# Clients change the last messages that they sent, such as the places of their cache marks, and requests of one
# conversation overtake each other: with eight at a time 22 KB of 300 are read again, with 8 marks 65 KB.
_RECENT = 32
_KEPT_KEYS = 16


class _Mark(NamedTuple):
    """Hold what stands before an item: so many items, pieces and messages, and the first piece of the last message."""

    items: int
    pieces: int
    messages: int
    last: int


_BEGIN = _Mark(0, 0, 0, 0)


class ReadHistory(NamedTuple):
    """The history of a request, the running sums of its pieces, the keys of its beginnings as far as they were built,
    and where it can be gone on with."""

    history: History
    sums: Sequence[RunningSum]
    keys: KnownKeys
    marks: Sequence[_Mark] = ()


NOTHING_READ = ReadHistory(NO_HISTORY, (), {})


def history_of_turns(body: Body, readers: Readers) -> ReadHistory:
    """Return the history of a request of the dialect with these `readers`. Raises BadRequest for a body that cannot be
    decoded."""
    read = body.read if readers.history_by_item else None
    if read is not None:
        try:
            return _continued(read, readers)
        except (ValueError, RecursionError):  # the items are no strict JSON
            pass
    history = readers.history(body.content)
    return ReadHistory(history, running_sums(history.pieces), {})


def _continued(read: ReadObject, readers: Readers) -> ReadHistory:
    earlier = read.inherited.get(_NAME)
    if not isinstance(earlier, ReadHistory):
        earlier = NOTHING_READ
    known = [mark for mark in earlier.marks if mark.items <= read.known]
    at = known[-1] if known else _BEGIN
    pieces: list[Piece] = earlier.history.pieces[: at.pieces]
    items = read.items(at.items)
    old = max(len(items) - _RECENT, 0)
    marks = known[-_RECENT:]
    for group in ([items[:old]] if old else []), ([item] for item in islice(items, old, None)):
        for some in group:
            part = readers.history({read.name: some})
            at = _Mark(
                at.items + len(some),
                at.pieces + len(part.pieces),
                at.messages + part.messages,
                at.pieces + part.last if part.messages else at.last,
            )
            pieces += part.pieces
            marks.append(at)
    same = known[-1].pieces if known else 0
    sums = running_sums(pieces, earlier.sums[: same + 1])
    keys = {each: key for each, key in earlier.keys.items() if same - _KEPT_KEYS <= each[1] <= same}
    result = read.derived[_NAME] = ReadHistory(History(pieces, at.messages, at.last), sums, keys, marks)
    return result
