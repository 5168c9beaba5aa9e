"""Read a client's cache settings: the field `cache` of its body, and the header Cache-Control.

Wrong types in the body are refused by name. Unknown directives of the header, which other programs write too, are
ignored (RFC 9111, section 5.2.1).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import NoReturn

import msgspec

from llmproxy.answer import Headers
from llmproxy.errors import BadRequest

MEMBER = "cache"
_FLAGS = ("no-cache", "no-store")
_NAMES = (*_FLAGS, "ttl")
_MAX = sys.float_info.max  # JSON may hold integers that are no float


class CacheControl(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The cache settings of a request.

    `read` and `store` allow an answer from the cache and its storage. `ttl_s` is its lifetime (None: as configured),
    `max_age_s` its maximum age; `only` forbids a call to a provider.
    """

    read: bool = True
    store: bool = True
    ttl_s: float | None = None
    max_age_s: float | None = None
    only: bool = False


DEFAULT_CONTROL = CacheControl()


def read_cache_control(member: object, present: bool, headers: Headers) -> CacheControl:
    """Read the settings from `member`, the decoded field of the body if it is `present`. Raises BadRequest."""
    lines = headers.getall("Cache-Control", ())
    if not present and not lines:
        return DEFAULT_CONTROL
    flags, ttl_s = _in_body(member) if present else (set(), None)
    max_age_s = None
    only = False
    for name, value in _directives(lines):
        if name in _FLAGS:
            flags.add(name)
        elif name == "only-if-cached":
            only = True
        elif name == "max-age" and value.isdecimal():
            max_age_s = float(value)
    return CacheControl(
        read="no-cache" not in flags, store="no-store" not in flags, ttl_s=ttl_s, max_age_s=max_age_s, only=only
    )


def _in_body(member: object) -> tuple[set[str], float | None]:
    if not isinstance(member, dict):
        _refuse(MEMBER, 'must be an object such as {"no-cache": true}')
    flags: set[str] = set()
    ttl_s = None
    for name, value in member.items():
        if name in _FLAGS:
            if not isinstance(value, bool):
                _refuse(f"{MEMBER}.{name}", "must be true or false")
            if value:
                flags.add(name)
        elif name == "ttl":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _MAX:
                _refuse(f"{MEMBER}.ttl", "must be a number of seconds above 0")
            ttl_s = float(value)
        else:
            _refuse(f"{MEMBER}.{name[:50]}", f"is unknown; allowed: {', '.join(_NAMES)}")
    return flags, ttl_s


def _refuse(path: str, why: str) -> NoReturn:
    raise BadRequest(f"{path} {why}", param=path)


def _directives(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        for directive in line.split(","):
            name, _, value = directive.partition("=")
            yield name.strip().lower(), value.strip().strip('"')
