"""JSON, opened only as far as somebody asks: the members of an object as raw bytes, single members replaced in place.

Reading and splicing touch the top level alone, so a body of 196 KB costs some 50 µs, and every byte that nobody changes
stays. msgspec does the work; what it refuses and others accept (NaN, lone surrogates, a byte-order mark) goes through
the standard library. Knows nothing of dialects. Begin reading at `read_members`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from llmproxy.errors import BadRequest

Members = dict[str, msgspec.Raw]
"""The raw JSON of each member of an object. Each value is a view that keeps the whole body alive."""

T = TypeVar("T")

_OBJECT = msgspec.json.Decoder(Members)
_SCAN = json.JSONDecoder().raw_decode
_BOM = b"\xef\xbb\xbf"
# Walking costs 4 µs a member. Requests have some dozens; only an attack on our time has more than this.
_MOST_MEMBERS = 10_000
_UNREADABLE = (ValueError, RecursionError)  # of both libraries; msgspec's own errors are ValueErrors

_OPEN = re.compile(rb"[ \t\n\r]*\{[ \t\n\r]*")
_KEY = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_NEXT = re.compile(rb"[ \t\n\r]*([,}])[ \t\n\r]*")


class _Place(NamedTuple):
    """Where one member stands: offsets of its key, of its value and of the end of that."""

    name: str
    key: int
    value: int
    end: int


def read_members(data: bytes) -> Members:
    """The top-level members of `data`, empty for anything that is no JSON object.

    Of a key that stands twice the last value counts.
    """
    try:
        return _OBJECT.decode(data)
    except _UNREADABLE:
        pass
    try:
        return {place.name: msgspec.Raw(data[place.value : place.end]) for place in _scan(data)}
    except _UNREADABLE:
        return {}


def read_value(raw: bytes | msgspec.Raw) -> object:
    """The decoded value of `raw`; None for null and for what is no JSON."""
    try:
        return msgspec.json.decode(raw)
    except _UNREADABLE:
        pass
    try:
        return _load(raw)
    except _UNREADABLE:
        return None


def read_as(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T | None:
    """`data` as the type that `decoder` was made for; None when it is something else, or no JSON."""
    try:
        return decoder.decode(data)
    except _UNREADABLE:
        pass
    try:
        return msgspec.convert(_load(data), decoder.type)
    except _UNREADABLE:
        return None


def write_value(value: object) -> bytes:
    """`value` as compact JSON. Text that is no Unicode (lone surrogates, from bytes that were none) is escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def replace_member(data: bytes, name: str, raw: bytes) -> bytes:
    """`data` with the JSON `raw` as the value of the top-level member `name`, which is added last when it is missing.

    All other bytes stay as they are. Raises BadRequest when `data` is no JSON object or holds a key twice.
    """
    places = _places(data)
    for place in places:
        if place.name == name:
            return _splice(data, place.value, raw, place.end)
    member = b"%b:%b" % (write_value(name), raw)
    if places:
        return _splice(data, places[-1].end, b"," + member, places[-1].end)
    opened = data.index(b"{") + 1
    return _splice(data, opened, member, opened)


def remove_member(data: bytes, name: str) -> bytes:
    """`data` without the top-level member `name` and one comma; unchanged when it is not there.

    Raises BadRequest when `data` is no JSON object or holds a key twice.
    """
    places = _places(data)
    for index, place in enumerate(places):
        if place.name == name:
            if index + 1 < len(places):
                return _splice(data, place.key, b"", places[index + 1].key)
            return _splice(data, places[index - 1].end if index else place.key, b"", place.end)
    return data


def _splice(data: bytes, start: int, new: bytes, end: int) -> bytes:
    view = memoryview(data)
    return b"".join((view[:start], new, view[end:]))


def _load(raw: bytes | msgspec.Raw) -> Any:
    return json.loads(bytes(raw).decode("utf-8-sig", "surrogatepass"))


def _places(data: bytes) -> list[_Place]:
    """Where each member stands. Raises BadRequest when that cannot be said, or when one stands twice."""
    try:
        places = _measure(data)
    except _UNREADABLE:
        try:
            places = _scan(data)
        except _UNREADABLE:
            told = f"The body is not a JSON object of at most {_MOST_MEMBERS} members"
            raise BadRequest(told, code="invalid_json") from None
    seen: set[str] = set()
    for place in places:
        if place.name in seen:
            told = f"The body holds {place.name!r} twice; send it once"
            raise BadRequest(told, code="duplicate_member", param=place.name)
        seen.add(place.name)
    return places


def _measure(data: bytes) -> list[_Place]:
    """The fast walk: msgspec has checked the object and knows how long each value is."""
    members = _OBJECT.decode(data)

    def end_of(name: str, start: int) -> int:
        raw = memoryview(members[name])
        if not data.startswith(raw, start):
            raise ValueError("of a key that stands twice, msgspec has the last value")
        return start + raw.nbytes

    return _walk(data, 0, end_of)


def _scan(data: bytes) -> list[_Place]:
    """The slow walk: the standard library reads every value. As latin-1, offsets of characters are those of bytes."""
    text = data.decode("latin-1")
    return _walk(data, len(_BOM) if data.startswith(_BOM) else 0, lambda _, start: int(_SCAN(text, start)[1]))


def _walk(data: bytes, start: int, end_of: Callable[[str, int], int]) -> list[_Place]:
    """Each member in turn; `end_of(name, start)` finds the end of a value. Raises ValueError for bad syntax."""
    places: list[_Place] = []
    at = _match(_OPEN, data, start).end()
    more = data[at : at + 1] != b"}"
    at += not more
    while more:
        if len(places) == _MOST_MEMBERS:
            raise ValueError("too many members to walk through")
        key = _match(_KEY, data, at)
        name = read_value(key[1])
        if not isinstance(name, str):
            raise ValueError("a key that is no text")
        end = end_of(name, key.end())
        places.append(_Place(name, at, key.end(), end))
        following = _match(_NEXT, data, end)
        at = following.end()
        more = following[1] == b","
    if data[at:].strip(b" \t\n\r"):
        raise ValueError("something follows the object")
    return places


def _match(pattern: re.Pattern[bytes], data: bytes, at: int) -> re.Match[bytes]:
    found = pattern.match(data, at)
    if found is None:
        raise ValueError(f"no JSON object: offset {at}")
    return found
