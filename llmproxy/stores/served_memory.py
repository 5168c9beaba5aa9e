"""The memory store of a worker: its parent holds it for all workers, so that what one knows all know.

Each operation is a call over the link to the parent (`store_server.py`); it is atomic, since the parent does one after
the other. Only values (`blobs`, the cached answers) stay in the worker: they are many and large, and each worker may
have its own. No guard stands before it: the parent does nothing that takes long, and when it is gone all calls fail at
once. A worker without its parent is to drain and end; whoever starts workers sees to that. Begin reading at
`ServedMemory`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from typing import Any, TypeVar, cast

from llmproxy.stores.base import Store, StoreConfig
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.breakers import BreakerStore
from llmproxy.stores.facet import Facet, StoreFault
from llmproxy.stores.facet_operations import CLOSE, FACET_KINDS, OPEN, FacetOperation
from llmproxy.stores.link import Link
from llmproxy.stores.lru import ByteBoundedLru
from llmproxy.stores.memory import MemoryBlobs, MemoryStore
from llmproxy.stores.quotas import Quota, QuotaStore, Taken, give_back
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import SessionStore

F = TypeVar("F", bound=Facet)

_numbers = itertools.count(1)  # of facets, which all stores of a process have over one link


class ServedMemory(Store):
    """A memory store that the process at the other end of `parent` holds. Its values are those of this process."""

    Config = MemoryStore.Config
    guarded = False

    def __init__(self, config: StoreConfig, parent: Link) -> None:
        super().__init__(config)
        self._parent = parent
        self._values = ByteBoundedLru()

    def blobs(self, max_bytes: int) -> BlobStore:
        return MemoryBlobs(max_bytes, self._values)

    def sessions(self, max_sessions: int, ttl_s: float) -> SessionStore:
        return cast(SessionStore, self._facet("sessions", max_sessions, ttl_s))

    def responses(self, max_bytes: int) -> ResponseStore:
        return cast(ResponseStore, self._facet("responses", max_bytes))

    def breakers(self) -> BreakerStore:
        return cast(BreakerStore, self._facet("breakers"))

    def affinity(self, max_bytes: int) -> BlobStore:
        return cast(BlobStore, self._facet("affinity", max_bytes))

    def quotas(self, max_counters: int) -> QuotaStore:
        return cast(QuotaStore, self._facet("quotas", max_counters))

    def _facet(self, kind: str, *bounds: float) -> Facet:
        return _served(kind)(self._parent, self.config.model_dump_json(), kind, bounds)


class _ServedFacet(Facet):
    """Hold what all served facets have in common: the number by which the parent knows one."""

    def __init__(self, parent: Link, settings: str, kind: str, bounds: Sequence[float]) -> None:
        self.parent = parent
        self.number = next(_numbers)
        self._opening = settings, kind, bounds

    @property
    def available(self) -> bool:  # type: ignore[override]  # an attribute that nobody sets
        return not self.parent.closed

    @property
    def fault_reason(self) -> str | None:  # type: ignore[override]  # an attribute that nobody sets
        return "the parent process is gone" if self.parent.closed else None

    async def start(self) -> None:
        with contextlib.suppress(StoreFault):
            self.parent.notify(OPEN, self.number, *self._opening)

    async def close(self) -> None:
        with contextlib.suppress(StoreFault):
            self.parent.notify(CLOSE, self.number)


@cache
def _served(kind: str) -> type[_ServedFacet]:
    """Return the class of a facet whose methods are done by the parent."""
    known = FACET_KINDS[kind]
    methods: dict[str, Callable[..., Any]] = {each.method: _method(each) for each in known.operations}
    return type(f"Served{known.facet.__name__}", (_ServedFacet, known.facet), methods)


def _method(each: FacetOperation) -> Callable[..., Any]:
    operation, complete = each.operation, each.complete

    def call(facet: _ServedFacet, *arguments: Any, **named: Any) -> Awaitable[Any]:
        return facet.parent.call(operation, facet.number, *complete(arguments, named))

    def take(facet: Any, quotas: Sequence[Quota], amounts: Sequence[float]) -> Awaitable[Taken]:
        unclaimed = partial(give_back, facet, quotas, amounts)
        return cast(Link, facet.parent).call(operation, facet.number, quotas, amounts, unclaimed=unclaimed)

    def notify(facet: _ServedFacet, *arguments: Any, **named: Any) -> None:
        with contextlib.suppress(StoreFault):
            facet.parent.notify(operation, facet.number, *complete(arguments, named))

    if not each.waits:
        return notify
    return take if operation.name == "quotas.take" else call
