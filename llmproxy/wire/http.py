"""Facts of HTTP/1.1 that hold on both sides of the proxy: header and status lists, and the limits of a head."""

from __future__ import annotations

from collections.abc import Iterable

HOP_BY_HOP = (
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
"""Headers that concern one connection (RFC 9110, 7.6.1), lower case. `Connection` names further ones."""

ORDINARY_CONNECTION = frozenset({"keep-alive", "close"})
"""Values of the header `Connection` that name no other header, lower case."""

BODILESS_STATUSES = frozenset({204, 304})
"""Statuses of answers that have no body whatever their headers say (RFC 9110, 6.4.1)."""

RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses after which another provider may succeed: too slow, too busy, broken."""

MAX_FIELD_BYTES = 64 * 1024
MAX_FIELDS = 512
"""The limits of a head: the length of a line or header field, and the number of fields."""

READ_BYTES = 64 * 1024
"""How much is read from a socket at once."""


class ForwardedNames(dict[str, bool]):
    """Remember whether a header is forwarded, by its spelling: 1.4 µs for 17 headers, 2.9 µs without this cache.

    Those named in `dropped` (lower case) or that begin with `prefix` are not.
    """

    _MOST, _LONGEST = 1024, 64

    def __init__(self, dropped: Iterable[str], *, prefix: str | None = None) -> None:
        super().__init__()
        self._dropped = frozenset(dropped)
        self._prefix = prefix

    def __missing__(self, name: str) -> bool:
        lower = name.lower()
        kept = lower not in self._dropped and (self._prefix is None or not lower.startswith(self._prefix))
        if len(self) < self._MOST and len(name) < self._LONGEST:
            self[name] = kept
        return kept


def write_head(lines: list[str]) -> bytes | None:
    """Return the lines of a head as bytes, with the empty line at its end; None where one of them holds a line break or
    NUL, and so would break out of its line."""
    text = "".join(lines)
    if "\n" in text or "\r" in text or "\0" in text:
        return None
    lines += ("", "")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def header_text(text: str) -> str:
    """Return `text`, which may hold anything, as a part of a header that every client can read: in printable ASCII,
    with line breaks and other characters escaped (`\\n`, `\\u20ac`)."""
    return text if text.isascii() and text.isprintable() else text.encode("unicode_escape").decode()
