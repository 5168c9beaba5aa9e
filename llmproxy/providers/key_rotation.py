"""Several keys of one provider (`api_keys`): one after the other, without those that the provider refused of late.

Begin reading at `KeyRotation.next`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

REFUSED_S = 300.0
LIMITED_S = 30.0
MOST_S = 3600.0
_AT_LIMIT = 429


class KeyRotation:
    """The keys of one provider, as values of its header. `now` is `time.monotonic`."""

    def __init__(self, values: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        self.values = tuple(values)
        self._now = now
        self._turn = -1
        self._rests_until_s: dict[str, float] = {}
        self._refused: set[str] = set()
        self._marked = {_mark(value): value for value in self.values}

    def mark_of(self, value: str) -> str:
        """Return a digest that tells one of these keys from others, "" for any other value."""
        mark = _mark(value)
        return mark if mark in self._marked else ""

    def next(self, mark: str = "") -> str:
        """Return the key for the next request; when all were refused, the one that rests no longer than others.

        With the `mark` of a key that one, as what the request names exists for it alone: also while it is at its limit,
        but not after it was refused otherwise.
        """
        if mark and (marked := self._marked.get(mark)) is not None and not self._is_refused(marked):
            return marked
        count = len(self.values)
        self._turn = (self._turn + 1) % count
        if not self._rests_until_s:
            return self.values[self._turn]
        now_s = self._now()
        in_turn = [self.values[(self._turn + place) % count] for place in range(count)]
        return min(in_turn, key=lambda value: max(self._rests_until_s.get(value, 0.0) - now_s, 0.0))

    def _is_refused(self, value: str) -> bool:
        return value in self._refused and self._rests_until_s.get(value, 0.0) > self._now()

    def rest_s(self) -> float:
        """Return in how many seconds the first of the keys can be used again, 0 when one can be used now."""
        now_s = self._now()
        return max(min(self._rests_until_s.get(each, 0.0) for each in self.values) - now_s, 0.0)

    def refuse(self, value: str, status: int, rest_s: float | None) -> bool:
        """Take a key out: it was refused with `status`, for `rest_s` seconds where the provider says so. Return whether
        another one can be used."""
        now_s = self._now()
        (self._refused.discard if status == _AT_LIMIT else self._refused.add)(value)
        usual_s = LIMITED_S if status == _AT_LIMIT else REFUSED_S
        self._rests_until_s[value] = now_s + min(rest_s or usual_s, MOST_S)
        return any(self._rests_until_s.get(each, 0.0) <= now_s for each in self.values)


def _mark(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:16]
