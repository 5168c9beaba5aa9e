"""One number that a middleware, or another part of the program, adds to `/metrics`, and its value over several workers.

Begin reading at `Sample`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A number of a metric. `counter` says whether it only grows; a metric that also falls is a gauge. Samples of one
    name have the same `labels` (names and values), and follow each other or not. `across` says how the values of
    several workers become one: their sum, or their greatest or least where all of them speak of the same thing, such as
    a store that they share."""

    name: str
    help: str
    counter: bool = False
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    across: Literal["sum", "max", "min"] = "sum"


_MERGE: Mapping[str, Callable[[float, float], float]] = {"sum": operator.add, "max": max, "min": min}


def merge_samples(parts: Iterable[Sequence[Sample]]) -> list[Sample]:
    """Return the samples of several workers as one list, in the order in which they come first."""
    merged: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    for part in parts:
        for each in part:
            known = merged.get((each.name, each.labels))
            if known is not None:
                each = msgspec.structs.replace(known, value=_MERGE[each.across](known.value, each.value))
            merged[each.name, each.labels] = each
    return list(merged.values())
