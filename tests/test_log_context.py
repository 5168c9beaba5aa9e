from __future__ import annotations

import asyncio
import logging

import pytest

from llmproxy.log_context import is_repeated, repeated


def record(level: int) -> logging.LogRecord:
    return logging.LogRecord("llmproxy", level, "", 0, "x", (), None)


@pytest.mark.parametrize("same_elsewhere", [True, False])
def test_what_another_process_says_too_is_left_to_it_but_for_errors(same_elsewhere: bool) -> None:
    assert not is_repeated(record(logging.WARNING))
    with repeated(same_elsewhere):
        assert is_repeated(record(logging.WARNING)) == is_repeated(record(logging.INFO)) == same_elsewhere
        assert not is_repeated(record(logging.ERROR))
    assert not is_repeated(record(logging.WARNING))


async def test_a_task_that_goes_on_afterwards_speaks_for_itself() -> None:
    begun, over = asyncio.Event(), asyncio.Event()
    seen: list[bool] = []

    async def work() -> None:
        seen.append(is_repeated(record(logging.WARNING)))
        begun.set()
        await over.wait()
        seen.append(is_repeated(record(logging.WARNING)))

    async with asyncio.TaskGroup() as group:
        with repeated(True):
            group.create_task(work())
            await begun.wait()
        over.set()
    assert seen == [True, False]
