"""Configured limits of targets: requests and tokens in a minute, and calls at a time.

They are taken and settled as those of clients are, before and after each call. While the store does not answer, this
process counts alone. Begin reading at `TargetQuotas.take`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from llmproxy.call import Call
from llmproxy.dialects.limit_readings import LimitReading
from llmproxy.exchange import Exchange
from llmproxy.limiting.usage import expected_tokens
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory_quotas import MemoryQuotas
from llmproxy.stores.quotas import MAX_COUNTERS, Quota, QuotaStore, Settlement, Taken
from llmproxy.target import Target, TargetLimit

_MINUTE_S = 60.0
_UNKNOWN_WAIT_S = 0.5  # a call that ends frees its place at no known time
_LIMIT_KINDS = ("rpm", "tpm", "concurrent")


class Taking(msgspec.Struct, kw_only=True):
    """The amounts that a call took, and from which store."""

    store: QuotaStore
    quotas: Sequence[Quota]
    amounts: Sequence[float]
    taken: Taken


class TargetQuotas:
    """Takes from the limits of targets, in `store`; in this process alone without one."""

    def __init__(self, store: QuotaStore | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._own = MemoryQuotas(MAX_COUNTERS)
        self._store = self._own if store is None else store
        self._quotas: dict[tuple[str, TargetLimit], Sequence[Quota]] = {}

    async def take(self, exchange: Exchange, target: Target) -> tuple[float, Taking | None]:
        """Take what a call to `target` needs. Return 0 and what it took, or the seconds to wait and None; `settle` ends
        it."""
        assert target.limit is not None, "only such targets are asked for"
        quotas = self._of(target, target.limit)
        amounts = self._amounts(exchange, target.limit)
        store, taken = await self._take(quotas, amounts)
        if target.health is not None:
            target.health.limits.note(_readings(quotas, taken), self._now())
        if taken.refused < 0:
            return 0.0, Taking(store=store, quotas=quotas, amounts=amounts, taken=taken)
        known = quotas[taken.refused].kind == "window" and 0 < taken.wait_s < math.inf
        return taken.wait_s if known else _UNKNOWN_WAIT_S, None

    def attach(self, call: Call, taking: Taking) -> None:
        """Let `call` settle what was taken for it."""
        call.settle = partial(_settle, taking)

    def give_back(self, taking: Taking | None) -> None:
        """Settle what was taken for a call that was not made."""
        if taking is not None:
            _settle(taking, 0)

    async def _take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> tuple[QuotaStore, Taken]:
        try:
            return self._store, await self._store.take(quotas, amounts)
        except StoreFault:
            return self._own, await self._own.take(quotas, amounts)

    def _of(self, target: Target, limit: TargetLimit) -> Sequence[Quota]:
        key = target.name, limit
        if key not in self._quotas:
            self._quotas[key] = [
                Quota(
                    key=f"target:{target.name}:{kind}",
                    kind="running" if kind == "concurrent" else "window",
                    limit=float(amount),
                    per_s=_MINUTE_S,
                )
                for kind, amount in zip(_LIMIT_KINDS, (limit.rpm, limit.tpm, limit.concurrent), strict=True)
                if amount is not None
            ]
        return self._quotas[key]

    def _amounts(self, exchange: Exchange, limit: TargetLimit) -> list[float]:
        """Return what a call needs of each limit; one larger than a whole limit needs all of it."""
        amounts = [1.0] if limit.rpm is not None else []
        if limit.tpm is not None:
            amounts.append(float(min(sum(expected_tokens(exchange)), limit.tpm)))
        return [*amounts, 1.0] if limit.concurrent is not None else amounts


def _readings(quotas: Sequence[Quota], taken: Taken) -> list[LimitReading]:
    """Return what pages show of configured limits. Calls at a time are counted elsewhere."""
    return [
        LimitReading(
            kind=quota.key.rpartition(":")[2],
            limit=quota.limit,
            remaining=None if quota.kind == "running" else max(quota.limit - used, 0.0),
            reset_s=None if quota.kind == "running" else _MINUTE_S,
        )
        for quota, used in zip(quotas, taken.used, strict=True)
    ]


def _settle(taking: Taking, tokens: int | None) -> None:
    """Charge the tokens in place of those that were expected, and free the place. None keeps what was expected."""
    settlements = []
    for quota, slot, amount in zip(taking.quotas, taking.taken.slots, taking.amounts, strict=True):
        if quota.kind == "running":
            settlements.append(Settlement(quota, slot, amount))
        elif quota.key.endswith(":tpm"):
            settlements.append(Settlement(quota, slot, amount, amount if tokens is None else float(tokens)))
    if settlements:
        taking.store.settle(settlements)
