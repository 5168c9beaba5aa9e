"""Add up statistics as pages show them: JSON objects of workers with the same members. Begin reading at `sum_stats`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def sum_stats(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the objects as one: numbers are added up, also within objects; anything else is that of the first that has
    something there."""
    merged: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            merged[name] = _added(merged[name], value) if name in merged else value
    return merged


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return sum_stats([one, other])
    if _is_number(one) and _is_number(other):
        return one + other
    return other if one is None else one


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def hit_rate(hits: int, misses: int) -> float | None:
    """Return the share of hits among both; None without any."""
    return round(hits / (hits + misses), 6) if hits + misses else None
