"""A number that somebody wants Prometheus to see."""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One metric without labels: its name and help, whether it only grows, its value."""

    name: str
    help: str
    counts: bool
    value: float
