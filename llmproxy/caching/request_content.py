"""Read of a request what its cache key is made of; where it goes on from an earlier one, only its new turns.

Two requests are the same when every reader of JSON finds the same in them: key order and white space do not matter. A
body in which readers may find different things, such as one with a key twice, is the same as its own bytes only. Begin
reading at `read_content`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from llmproxy.body import Body
from llmproxy.dialects.dialect import Dialect
from llmproxy.wire.repeated_json import ReadObject

_NAME, _FRAME = "caching.turns", "caching.frame"
# Clients change the last turns that they sent, such as the places of their cache marks, and requests of one
# conversation overtake each other.
_RECENT = 32
_ENCODE = msgspec.json.Encoder(order="sorted").encode
_ENCODE_AS_READ = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheableRequest:
    """The members of a request, to be read only. Those of a long one are without its turns, of which `turns` is the
    digest. `raw` are its bytes where readers may find different things in them. `names_stored` says whether it names
    something that was stored for its client."""

    members: Mapping[str, Any]
    turns: bytes = b""
    raw: bytes = b""
    names_stored: bool = False


def read_content(body: Body, dialect: Dialect) -> CacheableRequest | None:
    """Return the content of a request of `dialect`; None when it is no standard JSON."""
    read = body.read if dialect.readers.history_by_item else None
    if read is not None:
        try:
            return _read_turns(read, dialect)
        except (ValueError, RecursionError):  # a key twice, or no strict JSON
            pass
    if not body.strict:
        return None
    content = body.content
    raw = b"" if _is_read_alike(body.decoded, content) else body.decoded
    return CacheableRequest(members=content, raw=raw, names_stored=dialect.reshape.names_stored(content))


class _Frame(NamedTuple):
    """Hold what is known of the JSON around the turns: whether every reader finds the same in it, and whether it names
    something stored. What it holds is not kept: decoded, that may take twenty times the memory."""

    alike: bool
    stored: bool


class _Turns(NamedTuple):
    """Hold what is known of the first `items` turns: the digest of their canonical JSON, whether every reader finds
    that in
    them, and whether one of them names something stored."""

    items: int
    digest: hashlib._Hash
    alike: bool
    stored: bool


def _read_turns(read: ReadObject, dialect: Dialect) -> CacheableRequest:
    members, frame = _read_frame(read, dialect)
    earlier = read.inherited.get(_NAME)
    known = [each for each in earlier if each.items <= read.known] if isinstance(earlier, list) else []
    at = known[-1] if known else _Turns(0, hashlib.sha256(), True, False)
    marks = known[-_RECENT:]
    text = read.text(at.items)
    items = msgspec.json.decode(text)
    new_alike = _is_read_alike(text, items)
    alike = at.alike and new_alike
    items = items[1:] if at.items else items
    old = max(len(items) - _RECENT, 0)
    for some in ([items[:old]] if old else []) + [[item] for item in items[old:]]:
        digest = at.digest.copy()
        digest.update(canonical(some)[1:-1] + b",")
        stored = at.stored or dialect.reshape.names_stored({read.name: some})
        at = _Turns(at.items + len(some), digest, alike, stored)
        marks.append(at)
    # Which of the new turns is ambiguous is not known: one that leaves it out begins before all of them.
    read.derived[_NAME] = marks if new_alike else [*known[-_RECENT:], at]
    return CacheableRequest(
        members=members,
        turns=b"%d %b" % (at.items, at.digest.digest()),
        raw=b"" if alike and frame.alike else read.data,
        names_stored=at.stored or frame.stored,
    )


def _read_frame(read: ReadObject, dialect: Dialect) -> tuple[Mapping[str, Any], _Frame]:
    """Return the members around the turns, and what is known of them. An earlier request may have the same."""
    text = read.without_items()
    members = msgspec.json.decode(text)
    frame = read.inherited.get(_FRAME) if read.known and read.same_tail else None
    if not isinstance(frame, _Frame):
        frame = _Frame(_is_read_alike(text, members), dialect.reshape.names_stored(members))
    read.derived[_FRAME] = frame
    return members, frame


class _Ambiguous(ValueError):
    """Readers of JSON may understand different things."""


def _is_read_alike(raw: bytes, content: object) -> bool:
    """Return whether every reader of the JSON `raw` finds `content` in it: no key stands twice in an object, and no
    number loses digits. What most clients send is written as we write it, but for white space: 1 µs for a KB instead of
    10.
    """
    try:
        written = _ENCODE_AS_READ(content)
        if raw == written or msgspec.json.format(raw, indent=-1) == written:
            return True
        json.loads(raw, object_pairs_hook=_distinct, parse_float=_exact, parse_int=_whole)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _distinct(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _Ambiguous


def _exact(digits: str) -> None:
    """Refuse a decimal fraction that is another number as a float; it stays apart from all its neighbours."""
    if Decimal(digits) != Decimal(repr(float(digits))):
        raise _Ambiguous


def _whole(digits: str) -> None:
    if digits == "-0":
        raise _Ambiguous


def canonical(value: object) -> bytes:
    """Return `value` as JSON that is the same for all ways to write it."""
    try:
        return _ENCODE(value)
    except (UnicodeEncodeError, TypeError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
