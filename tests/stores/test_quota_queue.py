from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.quota_queue import MAX_GROUPS, Batch, Group, QueuedQuotas
from llmproxy.stores.quotas import LEASE_S, Quota, Settlement, Taken
from tests.stores.conftest import Clock
from tests.support.waiting import PATIENCE_S

MINUTE = Quota(key="minute", kind="window", limit=1e9, per_s=60)
RUNNING = Quota(key="running", kind="running", limit=5)


class Recorded(QueuedQuotas):
    """A store that writes down its calls. Each waits for `gate`; those whose number is in `failing` fail."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.calls: list[tuple[Batch | None, list[Group]]] = []
        self.failing: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def _send(self, batch: Batch | None, groups: Sequence[Group]) -> list[Taken]:
        self.calls.append((batch, list(groups)))
        number = len(self.calls)
        await self.gate.wait()
        if number in self.failing:
            raise StoreFault("it fails")
        return [Taken(used=[*group.amounts], slots=[number] * len(group.quotas)) for group in groups]

    @property
    def settled(self) -> list[tuple[str, int, float, float]]:
        return [
            (each.quota.key, each.slot, each.taken, each.charged)
            for batch, _ in self.calls
            for each in (batch.settlements if batch else ())
        ]


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[Recorded]:
    made = Recorded(clock)
    await made.start()
    yield made
    made.gate.set()
    await made.close()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_requests_that_come_together_share_a_call(store: Recorded) -> None:
    store.gate.clear()
    first = asyncio.get_running_loop().create_task(store.take([MINUTE], [1]))
    await turns()
    others = [asyncio.get_running_loop().create_task(store.take([MINUTE], [2])) for _ in range(MAX_GROUPS + 3)]
    await turns()
    store.gate.set()
    await asyncio.gather(first, *others)

    assert [len(groups) for _, groups in store.calls] == [1, MAX_GROUPS, 3]


async def test_settlements_go_with_the_next_request(store: Recorded) -> None:
    store.settle([Settlement(quota=MINUTE, slot=1, taken=5, charged=3)])
    await store.take([MINUTE], [1])

    assert len(store.calls) == 1
    assert store.settled == [("minute", 1, 5, 3)]


async def test_settlements_are_sent_soon_without_a_request(store: Recorded) -> None:
    store.settle([Settlement(quota=MINUTE, slot=1, taken=5)])
    async with asyncio.timeout(PATIENCE_S):
        while not store.calls:
            await turns()

    assert store.settled == [("minute", 1, 5, 0)]


async def test_what_a_failed_call_was_to_settle_is_settled_under_the_same_number(store: Recorded) -> None:
    store.failing = {1}
    store.settle([Settlement(quota=MINUTE, slot=1, taken=5, charged=3)])
    with pytest.raises(StoreFault):
        await store.take([MINUTE], [1])
    await store.take([MINUTE], [1])

    assert [batch and batch.number for batch, _ in store.calls] == [1, 1]


async def test_what_a_request_took_that_does_not_wait_any_more_is_given_back(store: Recorded) -> None:
    store.gate.clear()
    leaving = asyncio.get_running_loop().create_task(store.take([RUNNING, MINUTE], [1, 7]))
    await turns()
    leaving.cancel()
    await turns()
    store.gate.set()
    await turns()
    await store.take([MINUTE], [1])

    assert sorted(store.settled) == [("minute", 1, 7, 0), ("running", 1, 1, 0)]


async def test_what_comes_in_the_turn_in_which_a_request_leaves_is_given_back(store: Recorded) -> None:
    leaving = asyncio.get_running_loop().create_task(store.take([RUNNING], [1]))
    hand_over = store._hand_over

    def hand_over_and_leave(group: Group, taken: Taken) -> None:
        hand_over(group, taken)
        leaving.cancel()

    store._hand_over = hand_over_and_leave  # type: ignore[method-assign]
    await turns()
    store._hand_over = hand_over  # type: ignore[method-assign]
    await store.take([MINUTE], [1])

    assert leaving.cancelled()
    assert store.settled == [("running", 1, 1, 0)]


async def test_what_runs_is_counted_as_of_now_while_it_runs(store: Recorded, clock: Clock) -> None:
    await store.take([RUNNING], [1])
    await store.take([RUNNING], [1])
    clock.now_s += LEASE_S / 2
    await store.take([MINUTE], [1])
    batch, (group,) = store.calls[2]
    store.settle([Settlement(quota=RUNNING, slot=1, taken=1)])
    await store.take([MINUTE], [1])

    assert batch is not None
    assert sorted((each.slot, each.taken, each.charged) for each in batch.settlements) == [(1, 1, 0), (2, 1, 0)]
    assert ([quota.key for quota in group.quotas], group.amounts, group.quotas[0].refuses) == (["running"], [2], False)
    assert store.settled[-1] == ("running", 3, 1, 0)


async def test_what_ends_while_it_is_renewed_is_released_from_its_new_place(store: Recorded, clock: Clock) -> None:
    taken = await store.take([RUNNING], [1])
    clock.now_s += LEASE_S / 2
    store.gate.clear()
    other = asyncio.get_running_loop().create_task(store.take([MINUTE], [1]))
    await turns()
    store.settle([Settlement(quota=RUNNING, slot=taken.slots[0], taken=1)])
    store.gate.set()
    await other
    await store.take([MINUTE], [1])

    assert store.settled == [("running", 1, 1, 0), ("running", 2, 1, 0)]


async def test_what_is_to_be_settled_is_sent_before_it_closes(clock: Clock) -> None:
    store = Recorded(clock)
    await store.start()
    store.settle([Settlement(quota=MINUTE, slot=1, taken=5)])
    await store.close()

    assert store.settled == [("minute", 1, 5, 0)]
