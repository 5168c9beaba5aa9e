"""What all facets of a store have in common: their life, and how they say that they failed.

A facet is a set of operations on one kind of data: `blobs.py`, `sessions.py`, `responses.py`. Any operation may raise
`StoreFault`, and does so soon: the caller goes on without the store. Nothing here knows HTTP or a dialect.
"""

from __future__ import annotations

from abc import ABC


class StoreFault(Exception):
    """The store did not do it: it is gone, slow or full, or its answer cannot be understood."""


class StoreRefusal(StoreFault):
    """The store works and refused this one operation: no room, or no right to write. Others may succeed."""


class Facet(ABC):  # noqa: B024  # each facet has its own
    """Base of the facets. `available` is false while the store is known not to answer; `fault_reason` says why it does
    not, or why it takes nothing new."""

    available: bool = True
    fault_reason: str | None = None

    async def start(self) -> None:  # noqa: B027  # not every facet owns something
        """Start what the facet owns; called once. A store that cannot be reached yet is no error."""

    async def close(self) -> None:  # noqa: B027  # not every facet owns something
        """Finish what was begun; called once. The connection belongs to the store and stays open."""
