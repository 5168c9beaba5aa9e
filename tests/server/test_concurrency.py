"""Requests that wait for their turn."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.errors import Overloaded
from llmproxy.server.concurrency import MAX_WAITING, Concurrency, wait_until_over
from tests.support.waiting import until_async


async def test_those_that_wait_run_in_order() -> None:
    concurrency, order = Concurrency(), list[int]()
    assert concurrency.admits(1)

    async def wait(number: int) -> None:
        await concurrency.enter(1, 10)
        order.append(number)
        concurrency.leave(1)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(wait(number))
        await until_async(lambda: concurrency.waiting == 3, "all to wait")
        assert not concurrency.admits(1), "nobody overtakes"
        concurrency.leave(1)
    assert order == [0, 1, 2] and (concurrency.running, concurrency.waiting) == (0, 0)


async def test_a_wait_ends_with_503_and_when_to_try_again() -> None:
    concurrency = Concurrency()
    concurrency.admits(1)
    with pytest.raises(Overloaded, match=r"server\.max_concurrent") as refused:
        await concurrency.enter(1, 0.01)
    assert refused.value.status == 503 and ("Retry-After", "1") in refused.value.headers
    assert (concurrency.running, concurrency.waiting) == (1, 0)


async def test_only_so_many_wait() -> None:
    concurrency = Concurrency()
    concurrency.admits(1)
    waiting = [asyncio.get_running_loop().create_task(concurrency.enter(1, 10)) for _ in range(MAX_WAITING)]
    await until_async(lambda: concurrency.waiting == MAX_WAITING, "the queue to be full")
    with pytest.raises(Overloaded):
        await concurrency.enter(1, 10)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (concurrency.running, concurrency.waiting) == (1, 0)


async def test_a_client_that_leaves_as_its_turn_comes_gives_it_on() -> None:
    concurrency = Concurrency()
    concurrency.admits(1)
    first, second = [asyncio.get_running_loop().create_task(concurrency.enter(1, 10)) for _ in range(2)]
    await until_async(lambda: concurrency.waiting == 2, "both to wait")
    concurrency.leave(1)
    first.cancel()
    await second
    assert first.cancelled() and (concurrency.running, concurrency.waiting) == (1, 0)


async def test_a_higher_limit_lets_several_run_at_once() -> None:
    concurrency = Concurrency()
    concurrency.admits(1)
    waiting = [asyncio.get_running_loop().create_task(concurrency.enter(1, 10)) for _ in range(3)]
    await until_async(lambda: concurrency.waiting == 3, "all to wait")
    concurrency.leave(None)
    await asyncio.gather(*waiting)
    assert concurrency.running == 3


async def test_the_end_of_requests_is_waited_for_until_somebody_is_in_a_hurry() -> None:
    never, hurry = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running: asyncio.Task[None] = group.create_task(_until(never))
        hurry.set()
        await wait_until_over([running], 60, hurry)
        assert not running.done()
        never.set()
        await wait_until_over([running], 60)
        assert running.done()


async def _until(event: asyncio.Event) -> None:
    await event.wait()
