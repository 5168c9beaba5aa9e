"""Read a client's cache settings: the field `cache` of its body, and the header Cache-Control.

The field is ours when it is an object of our settings alone; then it never reaches a provider, and wrong types in it
are refused by name. Any other field of that name is the provider's. Unknown directives of the header, which other
programs write too, are ignored (RFC 9111, section 5.2.1). Begin reading at `take_settings`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NoReturn

import msgspec

from llmproxy.answer import Headers
from llmproxy.body import Body
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange

MEMBER = "cache"
_FLAGS = ("no-cache", "no-store")
_NAMES = (*_FLAGS, "ttl")
_MAX = sys.float_info.max  # JSON may hold integers that are no float
_NOTE = "llmproxy.cache-settings"
_NONE: Mapping[str, object] = MappingProxyType({})


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


def take_settings(exchange: Exchange) -> Mapping[str, object]:
    """Remove our settings from the body of a request and return them; a later call returns the same.

    Raises BadRequest for a wrong type, and for a body that holds the field twice.
    """
    body = exchange.body
    try:
        present = isinstance(body, Body) and MEMBER in body.members
    except BadRequest:  # a body that cannot be decoded is the provider's to judge
        present = False
    if present:
        member = exchange.held.value(MEMBER)
        if isinstance(member, dict) and all(name in _NAMES for name in member):
            _in_body(member)
            exchange.held.remove(MEMBER)
            exchange.notes[_NOTE] = member
    settings = exchange.notes.get(_NOTE)
    return settings if isinstance(settings, dict) else _NONE


def read_cache_control(settings: Mapping[str, object], headers: Headers) -> CacheControl:
    """Combine the `settings` of the body with those of the header. Raises BadRequest."""
    lines = headers.getall("Cache-Control", ())
    if not settings and not lines:
        return DEFAULT_CONTROL
    flags, ttl_s = _in_body(settings)
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


def _in_body(settings: Mapping[str, object]) -> tuple[set[str], float | None]:
    flags: set[str] = set()
    ttl_s = None
    for name, value in settings.items():
        if name in _FLAGS:
            if not isinstance(value, bool):
                _refuse(f"{MEMBER}.{name}", "must be true or false")
            if value:
                flags.add(name)
        else:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _MAX:
                _refuse(f"{MEMBER}.{name}", "must be a number of seconds above 0")
            ttl_s = float(value)
    return flags, ttl_s


def _refuse(path: str, why: str) -> NoReturn:
    raise BadRequest(f"{path} {why}", param=path)


def _directives(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        for directive in line.split(","):
            name, _, value = directive.partition("=")
            yield name.strip().lower(), value.strip().strip('"')
