"""Characters that JSON need not escape and some encoders do: Java's write `=` as `\\u003d`, .NET's `+`, Go's `&`.

A secret that holds one of them cannot be found as it stands. It is looked for in a copy without these escapes, whose
offsets lead back. Begin reading at `unescape`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

_SIGN = b"\\u00"
# Quotes and backslashes stay, or strings would end elsewhere. JSON within JSON has more than one backslash. Of one that
# the end of a body cuts off nothing is left.
_ESCAPE = re.compile(rb"(?<!\\)\\++(?:u00([2-7][0-9a-fA-F])(?<!22)(?<!5[cC])|/|(?:u(?:0(?:0[2-7]?)?)?)?\Z)")


class Unescaped(NamedTuple):
    """`data` has no escapes any more. `places` says where in it they were, `longer` how much longer the original is
    before the first of them, the second, ... and behind the last.
    """

    data: bytes
    places: list[int]
    longer: list[int]

    def origin(self, offset: int) -> int:
        """Where in the original that begins, or ends, which does so at `offset` of `data`."""
        return offset + self.longer[bisect_left(self.places, offset)]


def has_escapes(data: bytes) -> bool:
    """Whether there may be such escapes: no copy is needed of what has none."""
    return b"\\" in data and _SIGN in data  # a single byte is found 30 times as fast


def unescape(data: bytes) -> Unescaped:
    """`data` without escapes of printable ASCII."""
    pieces: list[bytes] = []
    places: list[int] = []
    longer = [0]
    at = 0
    for found in _ESCAPE.finditer(data):
        start, end = found.span()
        character = _character(found)
        pieces += data[at:start], character
        places.append(start - longer[-1])
        longer.append(longer[-1] + end - start - len(character))
        at = end
    return Unescaped(b"".join([*pieces, data[at:]]), places, longer)


def _character(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes.fromhex(found[1].decode())
    return b"/" if found[0].endswith(b"/") else b""
