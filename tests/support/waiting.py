"""Wait for a condition instead of a fixed time: the one place where tests poll.

`until` blocks the thread that calls it, so async tests use `until_async`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 60.0  # a machine may be busy; what comes at once does not wait for it
_POLL_S = 0.005

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
    """Return the first true value of `condition`; fails, naming `what`, when none comes in time."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"gave up after {timeout_s:g} s waiting for {what}"
        pause.wait(_POLL_S)
    return value


async def until_async(condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
    """Return `until` for a coroutine; polls the condition in a thread, so that the loop goes on."""
    return await asyncio.to_thread(until, condition, what, timeout_s)
