"""The facet `BreakerStore`: which targets are out, shared by all processes, and who may test one.

A target is out from `trip` until `reset`; once its time is over, `probe` lets one process at a time call it. Begin
reading at `BreakerStore`. `OutageRow` is the arithmetic for the stores that do it in Python.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import msgspec

from llmproxy.stores.facet import Facet

KEEP_S = 86400.0
"""A target without news for this time is forgotten."""


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a target. `recovery_s` is 0 unless its breaker is open, and a call may find out in `retry_s`
    seconds; of its limits nothing is left for `rest_s` seconds."""

    retry_s: float = 0.0
    recovery_s: float = 0.0
    rest_s: float = 0.0


class OutageRow(msgspec.Struct):
    """A target as it is stored. Times are those of the store's clock."""

    retry_at_s: float = 0.0
    recovery_s: float = 0.0
    probe_until_s: float = 0.0
    rest_until_s: float = 0.0

    def trip(self, now_s: float, recovery_s: float) -> None:
        """Take the target out for `recovery_s` seconds."""
        self.retry_at_s, self.recovery_s, self.probe_until_s = now_s + recovery_s, recovery_s, 0.0

    def probe(self, now_s: float, lease_s: float) -> bool:
        """Return whether a call may find out now. It has `lease_s` seconds for that."""
        if not self.recovery_s:
            return True
        if now_s < self.retry_at_s or now_s < self.probe_until_s:
            return False
        self.probe_until_s = now_s + lease_s
        return True

    def reset(self) -> None:
        """Take the target back."""
        self.retry_at_s = self.recovery_s = self.probe_until_s = 0.0

    def outage(self, now_s: float) -> Outage:
        """Return what is known of the target now."""
        return Outage(
            retry_s=max(self.retry_at_s, self.probe_until_s) - now_s if self.recovery_s else 0.0,
            recovery_s=self.recovery_s,
            rest_s=max(self.rest_until_s - now_s, 0.0),
        )


class BreakerStore(Facet):
    """Targets by their names. Every method raises StoreFault."""

    @abstractmethod
    async def trip(self, target: str, recovery_s: float) -> None:
        """Take a target out for `recovery_s` seconds; who probed it has finished."""

    @abstractmethod
    async def probe(self, target: str, lease_s: float) -> bool:
        """Return whether this process may call a target now, to find out whether it is healthy: one at a time, for
        `lease_s` seconds or until it says how that went. True for a target that is not out."""

    @abstractmethod
    async def reset(self, target: str) -> None:
        """Take a target back."""

    @abstractmethod
    async def rest(self, target: str, seconds: float) -> None:
        """Skip a target for `seconds`: nothing is left of its limits."""

    @abstractmethod
    async def outages(self) -> Mapping[str, Outage]:
        """Return the targets that are out, or of whose limits nothing is left."""
