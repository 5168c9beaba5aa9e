from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.sample import Sample
from llmproxy.metrics.transfer import state_of
from llmproxy.server.peers import Counters, merge_counters
from llmproxy.stores.link import Link
from llmproxy.workers import gathering
from llmproxy.workers.gathering import Answering, Gathering
from llmproxy.workers.operations import ANSWER_QUESTION, COUNTERS, packed
from tests.metrics.test_counters import ended
from tests.support.loop_clock import LoopClock
from tests.support.waiting import PATIENCE_S, until_async

ACTIVITY = packed(True)


class Worker:
    """A worker that counts: its end of the link, and its parent's."""

    def __init__(self, number: int) -> None:
        self.metrics = Metrics()
        self.silent = asyncio.Event()
        self.answers = 0
        self.link = Link("the parent")
        self.answering = Answering(number, Link(f"worker {number}"))
        self.link.serve(ANSWER_QUESTION, self._answer)

    async def _answer(self, question: str, argument: bytes) -> bytes:
        if self.silent.is_set():
            await asyncio.Event().wait()
        self.answers += 1
        if question != COUNTERS:
            return packed(self.answering.number)
        samples = [
            Sample(name="grown_total", help="h", counter=True, value=self.metrics.in_flight + 3),
            Sample(name="now", help="h", value=5),
        ]
        return packed(Counters(metrics=state_of(self.metrics, activity=True), samples=samples))

    async def connect(self) -> None:
        ends = socket.socketpair()
        await self.link.connect(ends[0])
        await self.answering.link.connect(ends[1])


@asynccontextmanager
async def gathered(count: int = 2) -> AsyncIterator[tuple[list[Worker], Gathering]]:
    workers = [Worker(number) for number in range(1, count + 1)]
    for each in workers:
        await each.connect()
    asked = list(workers)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield asked, Gathering(lambda: [each.answering for each in asked], list)
    finally:
        for each in workers:
            await each.answering.link.close()
            await each.link.close()


async def counted(gathering: Gathering, asking: Worker) -> tuple[Metrics, dict[str, float]]:
    parts = await gathering.ask(asking.answering, COUNTERS, ACTIVITY)
    metrics, samples = merge_counters([msgspec.msgpack.decode(part, type=Counters) for part in parts])
    return metrics, {each.name: each.value for each in samples}


def requests(metrics: Metrics) -> int:
    return sum(sum(each.durations.counts) for each in metrics.requests.values())


async def test_a_question_goes_to_the_others_and_that_for_counters_to_all() -> None:
    async with gathered(3) as ((one, two, three), gathering):
        assert await gathering.ask(two.answering, "stats", b"") == [packed(1), packed(3)]
        for worker in (one, two, two):
            worker.metrics.begin()
            worker.metrics.record(ended())
        assert requests((await counted(gathering, three))[0]) == 3


async def test_counters_stay_when_a_worker_is_gone_and_what_it_had_under_way_does_not() -> None:
    async with gathered() as (workers, gathering):
        one, other = workers
        one.metrics.begin()
        one.metrics.record(ended())
        one.metrics.begin()
        before, samples = await counted(gathering, other)
        assert (before.in_flight, samples) == (1, {"grown_total": 7, "now": 10})
        workers.remove(one)
        gathering.forget(one.answering)
        gathering.forget(one.answering)
        after, samples = await counted(gathering, other)
        assert requests(after) == requests(before) == 1
        assert (after.in_flight, samples) == (0, {"grown_total": 7, "now": 5})
        assert after.activity.clients.keys() == before.activity.clients.keys() and after.activity.clients


async def test_one_that_does_not_answer_is_known_as_silent_and_its_last_counters_count() -> None:
    clock = LoopClock()
    async with gathered() as ((one, other), gathering_):
        one.metrics.begin()
        one.metrics.record(ended())
        await counted(gathering_, other)
        one.silent.set()
        asking = asyncio.get_running_loop().create_task(counted(gathering_, other))
        await until_async(lambda: other.answers == 2, "the answer of the other one")
        await clock.move(0.0)  # which arrives
        await clock.move(gathering.ANSWER_S)
        assert requests((await asking)[0]) == 1
        assert (one.answering.silent, other.answering.silent) == (True, False)
        one.silent.clear()
        await counted(gathering_, other)
        assert not one.answering.silent


async def test_one_that_is_gone_has_no_answer() -> None:
    async with gathered() as ((one, other), gathering):
        await one.link.close()
        await one.answering.link.wait_closed()
        assert await gathering.ask(other.answering, "stats", b"") == []


async def test_one_that_ends_while_another_is_waited_for_counts_once() -> None:
    async with gathered(3) as (workers, gathering):
        one, silent, asking = workers
        one.metrics.begin()
        one.metrics.record(ended())
        silent.silent.set()
        async with asyncio.TaskGroup() as tasks:
            counting = tasks.create_task(counted(gathering, asking))
            await until_async(lambda: one.answering.counters != b"", "the answer of the first")
            workers.remove(one)
            gathering.forget(one.answering)
            await silent.link.close()
        assert requests(counting.result()[0]) == 1
        assert requests((await counted(gathering, asking))[0]) == 1
