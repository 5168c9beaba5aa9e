"""Holds the memory stores of all workers in their parent, and does their operations, one after the other.

A store is held from the first worker that opens it until the last one closes it. One that died did not close it: its
successor finds what was there. Each facet has the bounds of the worker that opened it. Begin reading at
`StoreServer.attach`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from llmproxy.stores.base import Store, StoreConfig
from llmproxy.stores.breakers import BreakerStore
from llmproxy.stores.facet import Facet
from llmproxy.stores.facet_operations import CLOSE, FACET_KINDS, OPEN, FacetOperation
from llmproxy.stores.leases import LeasedBreakers, LeasedQuotas
from llmproxy.stores.link import Link
from llmproxy.stores.memory import MemoryStore
from llmproxy.stores.quotas import QuotaStore

T = TypeVar("T")


def _memory_store() -> Store:
    return MemoryStore(StoreConfig(type="memory"))


class StoreServer:
    """The memory stores of a parent. `make` returns a new one; none of its operations may wait for anything."""

    def __init__(self, make: Callable[[], Store] = _memory_store) -> None:
        self._make = make
        self._stores: dict[str, Store] = {}  # by their settings
        self._workers: set[_ServedWorker] = set()

    def attach(self, link: Link) -> None:
        """Serve the worker at the other end of `link`; to be called before it is connected. When it is closed, what the
        worker held is given back: places of running requests, and probes."""
        worker = _ServedWorker(self)
        self._workers.add(worker)
        link.serve(OPEN, worker.open)
        link.serve(CLOSE, worker.close)
        for kind in FACET_KINDS.values():
            for each in kind.operations:
                link.serve(each.operation, worker.handler(each))
        link.on_close(worker.end)

    def hold(self, settings: str) -> Store:
        """Return the store with these settings."""
        if settings not in self._stores:
            self._stores[settings] = self._make()
        return self._stores[settings]

    def release(self, settings: str) -> None:
        """Forget the store with these settings, unless a worker has it open."""
        if not any(worker.has_open(settings) for worker in self._workers):
            self._stores.pop(settings, None)

    def remove(self, worker: _ServedWorker) -> None:
        """Forget a worker that is gone."""
        self._workers.discard(worker)


class _ServedWorker:
    """One worker, and the facets that it opened, with the settings of their stores."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._facets: dict[int, Facet] = {}
        self._settings: dict[int, str] = {}

    def has_open(self, settings: str) -> bool:
        return settings in self._settings.values()

    def open(self, number: int, settings: str, kind: str, bounds: Sequence[float]) -> None:
        facet = FACET_KINDS[kind].open(self._server.hold(settings), *bounds)
        self._facets[number], self._settings[number] = _leased(facet), settings

    def close(self, number: int) -> None:
        _result(self._facets.pop(number).close())
        self._server.release(self._settings.pop(number))

    def end(self) -> None:
        """Give back what the worker held. Its stores stay, for the worker that takes its place."""
        for facet in self._facets.values():
            _result(facet.close())
        self._facets.clear()
        self._settings.clear()
        self._server.remove(self)

    def handler(self, each: FacetOperation) -> Callable[..., Any]:
        """Return what does an operation of a facet."""
        facets, method = self._facets, each.method

        def do(number: int, *arguments: object) -> object:
            result = getattr(facets[number], method)(*arguments)
            return _result(result) if each.waits else result

        return do


def _leased(facet: Facet) -> Facet:
    """Return the facet so that what one worker holds is given back when it is closed."""
    if isinstance(facet, QuotaStore):
        return LeasedQuotas(facet)
    return LeasedBreakers(facet) if isinstance(facet, BreakerStore) else facet


def _result(operation: Coroutine[Any, Any, T]) -> T:
    """Return the result of an operation that waits for nothing: so it needs no task."""
    try:
        operation.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    operation.close()
    raise AssertionError("a memory store waits for nothing")
