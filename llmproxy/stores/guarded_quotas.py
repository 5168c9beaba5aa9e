"""Quotas behind a guard: an answer within 50 ms, or a StoreFault (see `guard.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.stores.guard import FIRST_REST_S, TIMEOUT_S, Guard
from llmproxy.stores.quotas import Quota, QuotaStore, Settlement, Taken


class GuardedQuotas(QuotaStore):
    """`inner`, which is started and closed with it. It keeps what is to be settled until it can be stored."""

    def __init__(
        self, inner: QuotaStore, name: str, timeout_s: float = TIMEOUT_S, first_rest_s: float = FIRST_REST_S
    ) -> None:
        self._inner = inner
        self._guard = Guard(name, lambda: inner.take((), ()), timeout_s, first_rest_s)

    @property
    def available(self) -> bool:  # type: ignore[override]  # an attribute that nobody sets
        return self._guard.available

    @property
    def fault_reason(self) -> str | None:  # type: ignore[override]  # an attribute that nobody sets
        return self._guard.fault

    async def start(self) -> None:
        await self._inner.start()
        await self._guard.start()

    async def close(self) -> None:
        await self._guard.close()
        await self._inner.close()

    async def take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> Taken:
        taken = await self._guard.run(lambda: self._inner.take(quotas, amounts), self._guard.timeout_s)
        self._guard.accepted()
        return taken

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self._inner.settle(settlements)
