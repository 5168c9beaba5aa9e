"""The facets that a parent serves its workers, and their operations as calls over a link.

The abstract methods of a facet are the table: an operation takes the number of a facet, which the worker chose, and the
arguments of the method. Both ends build on it: `served_memory.py` calls, `store_server.py` serves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from llmproxy.stores.base import Store
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.breakers import BreakerStore
from llmproxy.stores.facet import Facet
from llmproxy.stores.link import Operation
from llmproxy.stores.quotas import QuotaStore
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import SessionStore

OPEN: Operation[None] = Operation("facet.open", tuple[int, str, str, list[float]], None)
"""Opens a facet: its number from now on, the settings of its store, its kind, its bounds."""

CLOSE: Operation[None] = Operation("facet.close", tuple[int], None)
"""Closes the facet of a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetOperation:
    """A method of a facet. One that `waits` is a coroutine; others are messages, which nothing answers."""

    method: str
    operation: Operation[Any]
    waits: bool
    signature: inspect.Signature

    def complete(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the arguments of a call, all of them and in their order."""
        if not named and len(arguments) == len(self.signature.parameters):
            return arguments
        bound = self.signature.bind(*arguments, **named)
        bound.apply_defaults()
        return bound.args


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetKind:
    """A facet of stores: its class, how a store opens it with its bounds, and its operations."""

    facet: type[Facet]
    open: Callable[..., Facet]
    operations: Sequence[FacetOperation]


def _kind(name: str, facet: type[Facet], open_: Callable[..., Facet]) -> FacetKind:
    methods = sorted(facet.__abstractmethods__)
    return FacetKind(facet=facet, open=open_, operations=[_operation(name, facet, method) for method in methods])


def _operation(kind: str, facet: type[Facet], name: str) -> FacetOperation:
    method = getattr(facet, name)
    types = get_type_hints(method)
    result = types.pop("return")
    signature = inspect.signature(method)
    _, *parameters = signature.parameters.values()
    return FacetOperation(
        method=name,
        operation=Operation(f"{kind}.{name}", tuple[(int, *types.values())], result),  # type: ignore[misc]  # made here
        waits=inspect.iscoroutinefunction(method),
        signature=signature.replace(parameters=parameters),
    )


def _sessions(store: Store, max_sessions: float, ttl_s: float) -> Facet:
    return store.sessions(int(max_sessions), ttl_s)


FACET_KINDS: Mapping[str, FacetKind] = {
    "sessions": _kind("sessions", SessionStore, _sessions),
    "responses": _kind("responses", ResponseStore, lambda store, max_bytes: store.responses(int(max_bytes))),
    "breakers": _kind("breakers", BreakerStore, lambda store: store.breakers()),
    "affinity": _kind("affinity", BlobStore, lambda store, max_bytes: store.affinity(int(max_bytes))),
    "quotas": _kind("quotas", QuotaStore, lambda store, max_counters: store.quotas(int(max_counters))),
}
