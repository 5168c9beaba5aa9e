"""Handles characters that JSON need not escape and some encoders do: Java's escape `=` as `\\u003d`, .NET's `+`, Go's
`&`.

A secret that contains one of them cannot be found in the raw bytes. It is searched in a copy without these escapes,
whose offsets map back to the original. Begin reading at `unescape`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

_SIGN = b"\\u00"
# Quotes and backslashes stay, or strings would end elsewhere. JSON within JSON has more than one backslash. An escape
# that the end of a body cuts off is removed.
_ESCAPE = re.compile(rb"(?<!\\)\\++(?:u00([2-7][0-9a-fA-F])(?<!22)(?<!5[cC])|/|(?:u(?:0(?:0[2-7]?)?)?)?\Z)")


class Unescaped(NamedTuple):
    """`data` without escapes. `places` are the offsets in it where escapes were, `longer` how much longer the original
    is before the first of them, before the second, ... and after the last.
    """

    data: bytes
    places: list[int]
    longer: list[int]

    def origin(self, offset: int) -> int:
        """Return the offset in the original of a boundary at `offset` of `data`."""
        return offset + self.longer[bisect_left(self.places, offset)]


def has_escapes(data: bytes) -> bool:
    """Return whether `data` may contain such escapes; data without any needs no copy."""
    return data.find(b"\\") >= 0 and data.find(_SIGN) >= 0  # a single byte is found 30 times as fast


def unescape(data: bytes) -> Unescaped:
    """Return `data` without escapes of printable ASCII."""
    pieces: list[bytes] = []
    places: list[int] = []
    longer = [0]
    at = 0
    for match in _ESCAPE.finditer(data):
        start, end = match.span()
        character = _character(match)
        pieces += data[at:start], character
        places.append(start - longer[-1])
        longer.append(longer[-1] + end - start - len(character))
        at = end
    return Unescaped(b"".join([*pieces, data[at:]]), places, longer)


def _character(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes.fromhex(match[1].decode())
    return b"/" if match[0].endswith(b"/") else b""
