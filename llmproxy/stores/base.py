"""What every store has: one connection with several facets, and how it says that it failed.

A facet is a set of operations on one kind of data: `blobs.py`, `sessions.py`. A backend is one file with a class for
each facet (`memory`, `disk`, `redis`). Any operation may raise `StoreFault`, and does so soon: the caller goes on
without the store. Nothing here knows HTTP or a dialect.
"""

from __future__ import annotations


class StoreFault(Exception):
    """The store did not do it: it is gone, slow or full, or its answer makes no sense."""


class StoreRefusal(StoreFault):
    """The store works and refused this one operation: no room, or no right to write. Others may succeed."""
