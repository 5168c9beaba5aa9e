"""Read the top-level members of a JSON object as raw bytes, and replace single members in place.

Only the top level is read, so a body of 196 KB costs some 50 µs, and all other bytes stay as they are. msgspec does the
work; the standard library reads what msgspec refuses and others accept (NaN, lone surrogates, a byte-order mark). This
module knows no dialects. Begin reading at `read_members`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from llmproxy.errors import BadRequest
from llmproxy.wire.text import replace_surrogates

RawMembers = dict[str, msgspec.Raw]
"""The raw JSON of each member of an object. Each value is a view that keeps the whole body alive."""

T = TypeVar("T")

_OBJECT = msgspec.json.Decoder(RawMembers)
# Python reads no whole number of more digits, which is valid JSON; nobody means one.
_MAX_DIGITS = 4000
_BOM = b"\xef\xbb\xbf"
# Walking costs 4 µs a member. Requests have some dozens; only an attack has more than this.
_MAX_MEMBERS = 10_000
_UNREADABLE = (ValueError, RecursionError)  # of both libraries; msgspec's own errors are ValueErrors

_OPEN = re.compile(rb"[ \t\n\r]*\{[ \t\n\r]*")
_KEY = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_NEXT = re.compile(rb"[ \t\n\r]*([,}])[ \t\n\r]*")


class MemberPlace(NamedTuple):
    """The position of a member: offsets of its key, its value and the end of its value."""

    name: str
    key: int
    value: int
    end: int


def read_members(data: bytes) -> RawMembers:
    """Return the top-level members of `data`; empty for anything but a JSON object.

    The last value of a duplicate key counts.
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
    """Decode `raw`. Return None for null and for invalid JSON."""
    try:
        return msgspec.json.decode(raw)
    except _UNREADABLE:
        pass
    try:
        return _load(raw)
    except _UNREADABLE:
        return None


def read_as(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T | None:
    """Decode `data` into the type of `decoder`. Return None for another type and for invalid JSON."""
    try:
        return decoder.decode(data)
    except _UNREADABLE:
        pass
    try:
        return convert_value(_load(data), decoder.type)
    except _UNREADABLE:
        return None


def convert_value(value: object, kind: type[T]) -> T:
    """Convert decoded JSON to `kind`. Raises msgspec.ValidationError for another type.

    msgspec compares names as UTF-8, so that a name with a lone surrogate would be an error; it becomes U+FFFD.
    """
    try:
        return msgspec.convert(value, kind)
    except UnicodeEncodeError:
        return msgspec.convert(_named(value), kind)


def _named(value: object) -> object:
    """Return the value with names of whole characters."""
    if isinstance(value, dict):
        return {replace_surrogates(name): _named(each) for name, each in value.items()}
    return [_named(each) for each in value] if isinstance(value, list) else value


def write_value(value: object) -> bytes:
    """Encode `value` as compact JSON. Lone surrogates in text are escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def write_unicode(value: object) -> bytes:
    """Encode `value` as compact JSON of whole characters, for vendors that refuse lone surrogates and SDKs that fail on
    them: U+FFFD stands in their place, and pairs are joined."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return replace_surrogates(json.dumps(value, separators=(",", ":"), ensure_ascii=False)).encode()


def replace_member(data: bytes, name: str, raw: bytes) -> bytes:
    """Set the top-level member `name` of `data` to the JSON `raw`; add it last when it is missing.

    All other bytes stay as they are. Raises BadRequest when `data` is not a JSON object or has a duplicate key.
    """
    places = member_places(data)
    for place in places:
        if place.name == name:
            return _splice(data, place.value, raw, place.end)
    member = b"%b:%b" % (write_value(name), raw)
    if places:
        return _splice(data, places[-1].end, b"," + member, places[-1].end)
    opened = data.index(b"{") + 1
    return _splice(data, opened, member, opened)


def remove_member(data: bytes, name: str) -> bytes:
    """Remove the top-level member `name` of `data` and one comma. Return `data` itself when it is missing.

    Raises BadRequest when `data` is not a JSON object or has a duplicate key.
    """
    places = member_places(data)
    for index, place in enumerate(places):
        if place.name == name:
            if index + 1 < len(places):
                return _splice(data, place.key, b"", places[index + 1].key)
            return _splice(data, places[index - 1].end if index else place.key, b"", place.end)
    return data


def check_members(data: bytes) -> None:
    """Raise BadRequest when `data` is not a JSON object, or when readers may understand it differently: when it has a
    duplicate key."""
    member_places(data)


def _splice(data: bytes, start: int, new: bytes, end: int) -> bytes:
    view = memoryview(data)
    return b"".join((view[:start], new, view[end:]))


def _load(raw: bytes | msgspec.Raw) -> Any:
    return json.loads(bytes(raw).decode("utf-8-sig", "surrogatepass"), parse_int=_whole)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_SCAN = json.JSONDecoder(parse_int=_whole).raw_decode


def member_places(data: bytes) -> list[MemberPlace]:
    """Return the position of each member. Raises BadRequest for invalid JSON or a duplicate key."""
    try:
        places = _measure(data)
    except _UNREADABLE:
        try:
            places = _scan(data)
        except _UNREADABLE:
            message = f"The body is not a JSON object with at most {_MAX_MEMBERS} members"
            raise BadRequest(message, code="invalid_json") from None
    seen: set[str] = set()
    for place in places:
        if place.name in seen:
            message = f"The body has {place.name!r} twice; send it once"
            raise BadRequest(message, code="duplicate_member", param=place.name)
        seen.add(place.name)
    return places


def _measure(data: bytes) -> list[MemberPlace]:
    """Walk fast: msgspec has checked the object and knows the length of each value."""
    members = _OBJECT.decode(data)

    def end_of(name: str, start: int) -> int:
        raw = memoryview(members[name])
        if not data.startswith(raw, start):
            raise ValueError("duplicate key: msgspec has only the last value")
        return start + raw.nbytes

    return _walk(data, 0, end_of)


def _scan(data: bytes) -> list[MemberPlace]:
    """Walk slowly: the standard library reads every value. In latin-1, character offsets are byte offsets."""
    text = data.decode("latin-1")
    return _walk(data, len(_BOM) if data.startswith(_BOM) else 0, lambda _, start: int(_SCAN(text, start)[1]))


def _walk(data: bytes, start: int, end_of: Callable[[str, int], int]) -> list[MemberPlace]:
    """Return each member in order; `end_of(name, start)` finds the end of a value. Raises ValueError for bad syntax."""
    places: list[MemberPlace] = []
    at = _match(_OPEN, data, start).end()
    more = data[at : at + 1] != b"}"
    at += not more
    while more:
        if len(places) == _MAX_MEMBERS:
            raise ValueError("too many members to walk through")
        key = _match(_KEY, data, at)
        name = read_value(key[1])
        if not isinstance(name, str):
            raise ValueError("a key that is not text")
        end = end_of(name, key.end())
        places.append(MemberPlace(name, at, key.end(), end))
        following = _match(_NEXT, data, end)
        at = following.end()
        more = following[1] == b","
    if data[at:].strip(b" \t\n\r"):
        raise ValueError("something follows the object")
    return places


def _match(pattern: re.Pattern[bytes], data: bytes, at: int) -> re.Match[bytes]:
    match = pattern.match(data, at)
    if match is None:
        raise ValueError(f"invalid JSON object at offset {at}")
    return match
