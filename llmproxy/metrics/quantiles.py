"""Percentiles of durations in little memory: counts in buckets whose bounds grow by a tenth.

`observe` runs on the hot path. Whatever is observed, an answer of `quantile` lies within 5 % of the true one (the idea
is that of DDSketch, Masson et al. 2019), and a `Quantiles` stays as large as it was made. Begin reading at `Quantiles`.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable

_GROWTH = 1.1
_LEAST_S = 1e-5
# From 10 µs to a day; what is beyond counts as that. A bucket begins at its bound.
_BOUNDS_S = tuple(_LEAST_S * _GROWTH**power for power in range(1, 241))
# Of all values the one whose relative distance to both bounds of its bucket is least: 4.8 %.
_MIDDLE = 2 * _GROWTH / (_GROWTH + 1)


class Quantiles:
    """How long things took, in seconds."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * (len(_BOUNDS_S) + 1)))

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_right(_BOUNDS_S, seconds)] += 1

    @classmethod
    def merged(cls, parts: Iterable[Quantiles]) -> Quantiles:
        """All that `parts` observed."""
        whole = cls()
        for part in parts:
            whole._counts = array("Q", map(int.__add__, whole._counts, part._counts))
        return whole

    def quantile(self, share: float) -> float | None:
        """The duration that `share` (0 to 1) of all did not exceed, in seconds; None when there was none."""
        counts = self._counts[:]
        total = sum(counts)
        if not total:
            return None
        rank, seen, bucket = max(math.ceil(share * total), 1), 0, -1
        while seen < rank:
            bucket += 1
            seen += counts[bucket]
        return float(_LEAST_S * _GROWTH**bucket * _MIDDLE)
