"""Quotas behind a guard: an answer within 50 ms, or a StoreFault (see `guard.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.stores.guard import FIRST_REST_S, TIMEOUT_S, GuardedFacet
from llmproxy.stores.quotas import Quota, QuotaStore, Settlement, Taken


class GuardedQuotas(GuardedFacet[QuotaStore], QuotaStore):
    """Quotas behind a guard. `inner` keeps settlements until they can be stored."""

    def __init__(
        self, inner: QuotaStore, name: str, timeout_s: float = TIMEOUT_S, first_rest_s: float = FIRST_REST_S
    ) -> None:
        super().__init__(inner, name, lambda: inner.take((), ()), timeout_s, first_rest_s)

    async def take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> Taken:
        taken = await self._guard.run(lambda: self._inner.take(quotas, amounts), self._guard.timeout_s)
        self._guard.accepted()
        return taken

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self._inner.settle(settlements)
