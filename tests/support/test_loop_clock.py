from __future__ import annotations

import asyncio

import pytest

from tests.support.loop_clock import LoopClock


async def test_what_is_due_later_happens_when_the_clock_is_moved() -> None:
    clock, happened = LoopClock(), asyncio.Event()
    asyncio.get_running_loop().call_later(3600.0, happened.set)
    await clock.move(3599.0)
    assert not happened.is_set()
    await clock.move(1.0)
    assert happened.is_set()


async def test_a_timeout_ends_with_the_clock() -> None:
    clock = LoopClock()

    async def late() -> None:
        async with asyncio.timeout(3600.0):
            await asyncio.Event().wait()

    waiting = asyncio.get_running_loop().create_task(late())
    await clock.move(0.0)
    await clock.move(3601.0)
    with pytest.raises(TimeoutError):
        waiting.result()
