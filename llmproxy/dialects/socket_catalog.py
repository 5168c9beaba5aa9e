"""The WebSockets of all dialects, by path and query.

Beside `catalog.py`, which has the list of dialects and their calls over HTTP. Begin reading at `find_socket`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from llmproxy.dialects import catalog
from llmproxy.dialects.call_tables import path_pattern
from llmproxy.dialects.dialect import Dialect, Endpoint
from llmproxy.dialects.socket_calls import model_in_query

_Found = tuple[re.Pattern[str], Endpoint, Endpoint]


def find_socket(path: str, query: str | None) -> Endpoint | None:
    """Return the WebSocket that clients open at `path` with `query`; None when unknown."""
    path = path[len(catalog.version_of(path)) :]
    for pattern, endpoint, named in _sockets(catalog.DIALECTS):
        if pattern.fullmatch(path):
            return named if model_in_query(query) else endpoint
    return None


def is_http_path(path: str) -> bool:
    """Return whether some call over HTTP stands at this path."""
    return any(catalog.find(method, path) is not None for method in ("POST", "GET"))


@lru_cache(maxsize=4)
def _sockets(dialects: tuple[Dialect, ...]) -> list[_Found]:
    return [found for dialect in dialects for found in _sockets_of(dialect)]


def _sockets_of(dialect: Dialect) -> Iterator[_Found]:
    """Yield the WebSockets of a dialect: the pattern of each path, and its endpoint without and with a model."""
    calls = dialect.sockets
    for path in () if calls is None else calls.paths:
        assert calls is not None
        template = dialect.version + path if calls.versioned else path
        plain = replace(dialect.relayed(path, template), capability=calls.capability, socket=calls)
        yield path_pattern(path), plain, replace(plain, model=calls.names_model)
