"""Cuts the body of a request where the requests of one conversation differ: each turn is a piece, and each long member
beside the list of turns, such as tools. Begin reading at `pieces_before`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmproxy.wire.json import MemberPlace, member_places
from llmproxy.wire.repeated_json import ReadObject

# Shorter members stay together.
_LONG_BYTES = 1024
_LIST = b'{"":0'  # stands for everything up to the end of the list


def pieces_before(read: ReadObject) -> Iterator[bytes]:
    """Yield the pieces up to the bracket with which the list begins."""
    places = read.located()
    yield from _cut(read.data, 0, _edges(places.before, 0), places.begin + 1)


def pieces_of_items(read: ReadObject, first: int) -> Iterator[bytes]:
    """Yield a piece for each item from the number `first` on, with the comma before it."""
    places = read.located()
    start = places.ends[first - 1] if first else places.begin + 1
    yield from _cut(read.data, start, places.ends[first:], start)


def pieces_after(read: ReadObject) -> Iterator[bytes]:
    """Yield the pieces from the end of the last item on."""
    places, data = read.located(), read.data
    members = member_places(_LIST + data[places.end :])
    yield from _cut(data, places.ends[-1], _edges(members, places.end - len(_LIST)), len(data))


def _edges(members: Sequence[MemberPlace], offset: int) -> Iterator[int]:
    for each in members:
        if each.end - each.value >= _LONG_BYTES:
            yield each.value + offset
            yield each.end + offset


def _cut(data: bytes, start: int, cuts: Sequence[int] | Iterator[int], end: int) -> Iterator[bytes]:
    for cut in cuts:
        yield data[start:cut]
        start = cut
    if start < end:
        yield data[start:end]
