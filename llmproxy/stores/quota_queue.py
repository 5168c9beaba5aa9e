"""Send the calls of quotas to a store that several processes share: one at a time, which carries all that waits.

While a call is under way, requests and settlements gather, and the next call carries them together. So a request makes
at most one round trip, and under load far less. What a call that failed was to settle is settled by a later one, once.
What runs here is renewed while it runs, so that it counts until it ends and not after a crash. Begin reading at
`QueuedQuotas._work`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import structs

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.quotas import LEASE_S, Quota, QuotaStore, Settlement, Taken, give_back

log = logging.getLogger(__name__)

MAX_GROUPS = 32  # requests in one call
MAX_SETTLEMENTS = 128  # in one call
_MOST_SETTLEMENTS = 65_536  # that wait; the oldest are dropped
_SETTLE_S = 0.02  # how long settlements wait for a request that carries them
_AGAIN_S = 1.0
_RENEW_S = LEASE_S / 3
_CLOSE_S = 2.0


class Batch:
    """Settlements that one call carries, and which must not be applied twice. `applied` is for stores in this machine
    that can say so; `number` is its name for the others."""

    __slots__ = ("applied", "number", "settlements")

    def __init__(self, number: int, settlements: Sequence[Settlement]) -> None:
        self.number = number
        self.settlements = settlements
        self.applied = False


class Group:
    """The amounts that one request takes. `taken` gets the result."""

    __slots__ = ("amounts", "quotas", "taken")

    def __init__(self, quotas: Sequence[Quota], amounts: Sequence[float], taken: asyncio.Future[Taken]) -> None:
        self.quotas = quotas
        self.amounts = amounts
        self.taken = taken


class QueuedQuotas(QuotaStore):
    """Base of the stores of quotas that are not in this process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._groups: deque[Group] = deque()
        self._settlements: deque[Settlement] = deque(maxlen=_MOST_SETTLEMENTS)
        self._failed: deque[Batch] = deque(maxlen=_MOST_SETTLEMENTS // MAX_SETTLEMENTS)
        self._numbers = 0
        self._running: dict[str, tuple[Quota, dict[int, float]]] = {}  # what this process has in which slots
        self._renewing = False
        self._held_back: list[Settlement] = []
        self._monotonic = monotonic
        self._renew_at_s = monotonic() + _RENEW_S
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._worker: asyncio.Task[None] | None = None

    @abstractmethod
    async def _send(self, batch: Batch | None, groups: Sequence[Group]) -> list[Taken]:
        """Settle the batch, unless that was done, and take for each group. Return what each took. Raises StoreFault."""

    async def start(self) -> None:
        self._worker = asyncio.get_running_loop().create_task(self._work(), name="count quotas")

    async def close(self) -> None:
        if self._worker is not None:
            self._closing = True
            self._wake.set()
            done, _ = await asyncio.wait([self._worker], timeout=_CLOSE_S)
            if not done:
                log.warning("%d settlements of limits and budgets were not stored", self._waiting_settlements())
                self._worker.cancel()
                await asyncio.wait([self._worker])
        if self._timer is not None:
            self._timer.cancel()

    async def take(self, quotas: Sequence[Quota], amounts: Sequence[float]) -> Taken:
        group = Group(quotas, amounts, asyncio.get_running_loop().create_future())
        self._groups.append(group)
        self._wake.set()
        try:
            return await group.taken
        except asyncio.CancelledError:
            if group.taken.done() and not group.taken.cancelled() and group.taken.exception() is None:
                # The result came in the same turn of the loop in which the client left.
                give_back(self, group.quotas, group.amounts, group.taken.result())
            raise

    def settle(self, settlements: Sequence[Settlement]) -> None:
        for each in settlements:
            if each.quota.kind != "running":
                self._settlements.append(each)
            elif self._renewing:
                self._held_back.append(each)
            else:
                self._settlements.append(self._released(each))
        self._wake_in(_SETTLE_S)

    def _wake_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        self._wake.set()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._groups or self._waiting_settlements() or self._renewal_due():
                if not await (self._renew() if self._renewal_due() else self._call()):
                    break
            if self._closing:
                return
            if self._running or self._waiting_settlements():
                self._wake_in(_AGAIN_S)

    def _waiting_settlements(self) -> int:
        return len(self._settlements) + sum(len(batch.settlements) for batch in self._failed)

    async def _call(self) -> bool:
        """Make one call with what waits. Return whether it succeeded."""
        groups = [self._groups.popleft() for _ in range(min(len(self._groups), MAX_GROUPS))]
        batch = self._batch()
        try:
            taken = await self._send(batch, groups)
        except StoreFault as fault:
            self._give_up(batch, groups, fault)
            return False
        except BaseException:
            self._give_up(batch, groups, StoreFault("it was closed"))
            raise
        for group, result in zip(groups, taken, strict=True):
            self._hand_over(group, result)
        return True

    def _batch(self) -> Batch | None:
        if self._failed:
            return self._failed.popleft()
        if not self._settlements:
            return None
        count = min(len(self._settlements), MAX_SETTLEMENTS)
        return self._numbered([self._settlements.popleft() for _ in range(count)])

    def _numbered(self, settlements: Sequence[Settlement]) -> Batch:
        self._numbers += 1
        return Batch(self._numbers, settlements)

    def _give_up(self, batch: Batch | None, groups: Sequence[Group], fault: StoreFault) -> None:
        if batch is not None:
            self._failed.appendleft(batch)
        for group in groups:
            if not group.taken.done():
                group.taken.set_exception(fault)

    def _hand_over(self, group: Group, taken: Taken) -> None:
        """Hand a request what it took, or give that back when the request does not wait any more."""
        if taken.refused < 0:
            for quota, slot, amount in zip(group.quotas, taken.slots, group.amounts, strict=True):
                if quota.kind == "running" and amount:
                    slots = self._running.setdefault(quota.key, (quota, {}))[1]
                    slots[slot] = slots.get(slot, 0.0) + amount
        if not group.taken.done():
            group.taken.set_result(taken)
        else:
            give_back(self, group.quotas, group.amounts, taken)

    def _released(self, settlement: Settlement) -> Settlement:
        """Note that something does not run any more. Return the settlement with the slot that has it now."""
        running = self._running.get(settlement.quota.key)
        if running is None:
            return settlement
        slots = running[1]
        slot = settlement.slot if settlement.slot in slots else next(iter(slots))
        slots[slot] -= settlement.taken
        if slots[slot] <= 0:
            del slots[slot]
        if not slots:
            del self._running[settlement.quota.key]
        return structs.replace(settlement, slot=slot)

    def _renewal_due(self) -> bool:
        return bool(self._running) and self._monotonic() >= self._renew_at_s

    async def _renew(self) -> bool:
        """Count all that runs here as of now, in one call. Return whether it succeeded."""
        self._renew_at_s = self._monotonic() + _RENEW_S
        running = list(self._running.values())
        before = [
            Settlement(quota=quota, slot=slot, taken=amount)
            for quota, slots in running
            for slot, amount in slots.items()
        ]
        quotas = [structs.replace(quota, refuses=False) for quota, _ in running]
        amounts = [sum(slots.values()) for _, slots in running]
        group = Group(quotas, amounts, asyncio.get_running_loop().create_future())
        self._renewing = True
        try:
            (taken,) = await self._send(self._numbered(before), [group])
        except StoreFault:
            return False
        else:
            for (quota, _), slot, amount in zip(running, taken.slots, amounts, strict=True):
                self._running[quota.key] = quota, {slot: amount}
            return True
        finally:
            self._renewing = False
            held_back, self._held_back = self._held_back, []
            self.settle(held_back)
