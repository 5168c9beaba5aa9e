"""One number that a middleware adds to `/metrics`."""

from __future__ import annotations

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A metric without labels. `counter` says whether it only grows; a metric that also falls is a gauge."""

    name: str
    help: str
    counter: bool
    value: float
