"""The facet `QuotaStore`: counters of what was used in a time, for limits of clients, budgets and limits of providers.

A request takes what it needs from all its quotas at once, or from none, and settles later what it really used. Begin
reading at `QuotaStore.take`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import msgspec

from llmproxy.stores.facet import Facet

MAX_COUNTERS = 50_000
"""The most counters of those that clients choose (addresses, sessions) in a store; the longest unused go first."""

SLOTS = 100
"""The parts in which a window is counted. It ends with the end of a part: at most 1 % later."""

LEASE_S = 60.0
"""After this time the running requests of a process that crashed are released."""

RESERVATION_S = 3600.0
"""The time in seconds for which an amount counts that was taken from a total and not settled."""

DAY_S = 86400.0
_GRACE_S = 2 * DAY_S  # a clock that was moved back finds the totals of the day before
_UNUSED_S = 30 * DAY_S

QuotaKind = Literal["window", "running", "total"]


class Quota(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A counter, and how much it may reach.

    `key` names the counter. A `window` counts what was taken within the last `per_s` seconds; `running` what was taken
    and not settled yet; a `total` everything until `ends_s` (wall clock), and beside it what was taken and not settled
    yet. One that does not `refuse` only counts, and says that it is over its limit. Once `warn_at` of a total is used,
    the store says so to one request. `chosen` says that a client chooses the key. `window_s` is for how long something
    counts that is not settled, in SLOTS parts of which there are `slots_per_s`.
    """

    key: str
    kind: QuotaKind
    limit: float
    per_s: float = 0.0
    ends_s: float = math.inf
    warn_at: float = math.inf
    refuses: bool = True
    chosen: bool = False
    window_s: float = 0.0
    slots_per_s: float = 0.0

    def __post_init__(self) -> None:
        match self.kind:
            case "window":
                window_s = self.per_s
            case "running":
                window_s = LEASE_S
            case "total":
                window_s = RESERVATION_S
        msgspec.structs.force_setattr(self, "window_s", window_s)
        msgspec.structs.force_setattr(self, "slots_per_s", SLOTS / window_s)

    def keep_s(self, now_s: float) -> float:
        """Return how long to keep the counter that is used at `now_s` (wall clock), inf for ever."""
        if self.kind != "total":
            return 2 * self.window_s
        if self.ends_s < math.inf:
            return max(self.ends_s - now_s, 0) + _GRACE_S
        return _UNUSED_S if self.chosen else math.inf


class Taken(msgspec.Struct, kw_only=True, array_like=True):
    """The amounts that a request took. The lists have an item for each of its quotas.

    `refused` is the index of the quota that refused it and frees what is missing last, -1 for none; then nothing was
    taken. `wait_s` is the time until it could be taken, inf where that is unknown, and `settled` what of that quota is
    used for good. `used` is the counter with this request, `slots` what `Settlement` needs. `over` has the indices of
    quotas that count only and are beyond their limit, `warnings` those of which a warning is due.
    """

    used: list[float]
    slots: list[int]
    refused: int = -1
    wait_s: float = 0.0
    settled: float = 0.0
    over: Sequence[int] = ()
    warnings: Sequence[int] = ()


class Settlement(msgspec.Struct, frozen=True, array_like=True):
    """The settlement of `taken`, in `slot` of the counter: `charged` is what was really used, 0 for nothing."""

    quota: Quota
    slot: int
    taken: float
    charged: float = 0.0


class QuotaStore(Facet):
    """Counters by key. They begin at 0 and are forgotten when nothing of them counts any more."""

    @abstractmethod
    async def take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> Taken:
        """Take amounts from all of the quotas, at once, or nothing when one has not enough. A request larger than a
        whole limit is to ask for that limit only. Amounts of 0 read the counters. Raises StoreFault."""

    @abstractmethod
    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Charge what was really used in place of what was taken, soon. Does not block."""


def give_back(store: QuotaStore, quotas: Sequence[Quota], amounts: Sequence[float], taken: Taken) -> None:
    """Settle what was taken for a request that does not wait for it any more."""
    if taken.refused < 0:
        pieces = zip(quotas, taken.slots, amounts, strict=True)
        store.settle([Settlement(quota, slot, amount) for quota, slot, amount in pieces if amount])
