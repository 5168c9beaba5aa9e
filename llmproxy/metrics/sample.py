"""One number that a middleware, or another part of the program, adds to `/metrics`."""

from __future__ import annotations

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A number of a metric. `counter` says whether it only grows; a metric that also falls is a gauge. Samples of one
    name have the same `labels` (names and values), and follow each other or not."""

    name: str
    help: str
    counter: bool = False
    value: float
    labels: tuple[tuple[str, str], ...] = ()
