"""Blocking work beside the loop, which does not hold up the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from llmproxy.providers.daemon_thread import in_daemon_thread


async def test_it_returns_and_raises_what_the_work_does() -> None:
    assert await in_daemon_thread(lambda: threading.current_thread().daemon) is True
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 // 0)


async def test_a_caller_that_leaves_does_not_wait() -> None:
    gate = threading.Event()
    task = asyncio.ensure_future(in_daemon_thread(gate.wait))  # noqa: TID251
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()


def test_a_program_ends_while_work_hangs() -> None:
    program = """
import asyncio, time
from llmproxy.providers.daemon_thread import in_daemon_thread

async def main():
    task = asyncio.get_running_loop().create_task(in_daemon_thread(lambda: time.sleep(600)))
    await asyncio.sleep(0)
    task.cancel()

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
