"""Values in a dictionary that is bounded in bytes: the longest unused go first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

# What an entry costs beyond its key and value: two objects' heads, the dictionary's and the list's places, the pair.
# Measured over 100,000 entries of 1 KB (CPython 3.11, 64 bit): 253 bytes by tracemalloc, 295 by the process's growth.
LRU_ENTRY_BYTES = 280


class ByteBoundedLru:
    """Values by key, each until its time is over. `size_bytes` counts everything, overhead included."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.size_bytes = 0
        self.values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._clock = clock

    def get(self, key: str) -> bytes | None:
        """Return the value, which is now the last used; None when there is none or its time is over."""
        found = self.values.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            self._remove(key)
            return None
        self.values.move_to_end(key)
        return found[1]

    def set(self, key: str, value: bytes, ttl_s: float, max_bytes: int) -> None:
        """Keep `value` in place of what was there, and remove others until at most `max_bytes` are left.

        A value that is larger than `max_bytes` is not kept.
        """
        self._remove(key)
        size = _weight(key, value)
        if size > max_bytes:
            return
        self.values[key] = self._clock() + ttl_s, value
        self.size_bytes += size
        while self.size_bytes > max_bytes:
            self._remove(next(iter(self.values)))

    def delete(self, key: str) -> bool:
        """Remove the value. Return whether there was one whose time was not over."""
        found = self.values.get(key)
        self._remove(key)
        return found is not None and found[0] > self._clock()

    def clear(self, prefix: str) -> int:
        """Remove every key that begins with `prefix`. Return how many there were."""
        now_s = self._clock()
        found = [(key, ends_s) for key, (ends_s, _) in self.values.items() if key.startswith(prefix)]
        for key, _ in found:
            self._remove(key)
        return sum(ends_s > now_s for _, ends_s in found)

    def _remove(self, key: str) -> None:
        found = self.values.pop(key, None)
        if found is not None:
            self.size_bytes -= _weight(key, found[1])


def _weight(key: str, value: bytes) -> int:
    return len(key) + len(value) + LRU_ENTRY_BYTES
