"""Percentiles of durations in little memory: counts in buckets whose bounds grow by 10 %.

`observe` runs on the hot path. Every answer of `quantile` lies within 5 % of the true value (the idea of DDSketch,
Masson et al. 2019), and a `Quantiles` never grows. Begin reading at `Quantiles`.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable

_GROWTH = 1.1
_LEAST_S = 1e-5
# From 10 µs to a day; durations beyond count as the first or last bucket. A bucket begins at its bound.
_BOUNDS_S = tuple(_LEAST_S * _GROWTH**power for power in range(1, 241))
# The value with the smallest relative distance to both bounds of its bucket: 4.8 %.
_MIDDLE = 2 * _GROWTH / (_GROWTH + 1)


class Quantiles:
    """Distribution of durations, in seconds."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * (len(_BOUNDS_S) + 1)))

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_right(_BOUNDS_S, seconds)] += 1

    @classmethod
    def merged(cls, parts: Iterable[Quantiles]) -> Quantiles:
        """Return the sum of `parts`."""
        whole = cls()
        for part in parts:
            whole._counts = array("Q", map(int.__add__, whole._counts, part._counts))
        return whole

    def dump(self) -> bytes:
        """Return the distribution as bytes, for `add_dump` of another process of this program."""
        return self._counts.tobytes()

    def add_dump(self, data: bytes) -> None:
        """Add what `dump` returned. Raises ValueError for anything else."""
        other = array("Q")
        other.frombytes(data)
        if len(other) != len(self._counts):
            raise ValueError(f"a distribution of {len(other)} buckets, not {len(self._counts)}")
        self._counts = array("Q", map(int.__add__, self._counts, other))

    def quantile(self, share: float) -> float | None:
        """Return the duration in seconds that the given share (0 to 1) of all did not exceed; None without any."""
        counts = self._counts[:]
        total = sum(counts)
        if not total:
            return None
        rank, seen, bucket = max(math.ceil(share * total), 1), 0, -1
        while seen < rank:
            bucket += 1
            seen += counts[bucket]
        return float(_LEAST_S * _GROWTH**bucket * _MIDDLE)
