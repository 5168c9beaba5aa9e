"""The retry budget of the whole program: what keeps retries from multiplying an outage.

Within ten seconds, the calls that replace failed ones are at most a share of the requests, but always a few, so that
single requests are retried too. Begin reading at `RetryBudget.take`.
"""

from __future__ import annotations

SHARE = 0.2
BUDGET_WINDOW_S = 10
FLOOR = 100


class RetryBudget:
    """Counts requests and retries by the second. Times are `time.monotonic()`."""

    __slots__ = ("_requests", "_retries", "_seconds", "floor", "refused", "share")

    def __init__(self, share: float = SHARE, floor: int = FLOOR) -> None:
        self.share = share
        self.floor = floor
        self.refused = 0
        self._seconds = [-1] * BUDGET_WINDOW_S
        self._requests = [0] * BUDGET_WINDOW_S
        self._retries = [0] * BUDGET_WINDOW_S

    def count(self, now_s: float) -> None:
        """Count a request."""
        self._requests[self._slot(now_s)] += 1

    def take(self, now_s: float) -> bool:
        """Count one more call for a request, and return whether it may be made."""
        slot = self._slot(now_s)
        requests, retries = self._recent(now_s)
        if retries >= max(self.floor, self.share * requests):
            self.refused += 1
            return False
        self._retries[slot] += 1
        return True

    def _slot(self, now_s: float) -> int:
        second = int(now_s)
        slot = second % BUDGET_WINDOW_S
        if self._seconds[slot] != second:
            self._seconds[slot] = second
            self._requests[slot] = self._retries[slot] = 0
        return slot

    def _recent(self, now_s: float) -> tuple[int, int]:
        """Return the requests and the retries of the last seconds."""
        after = int(now_s) - BUDGET_WINDOW_S
        fresh = [slot for slot, second in enumerate(self._seconds) if second > after]
        return sum(self._requests[slot] for slot in fresh), sum(self._retries[slot] for slot in fresh)
