"""Run what blocks for long in a thread for which the end of the program does not wait.

The threads of `asyncio.to_thread` are joined when the loop closes: a metadata server that does not answer would hold up
a stop for as long as it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises. Cancelled, it leaves `work` to itself."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(value)  # type: ignore[arg-type]  # what `work` returned

    def run() -> None:
        value, failure = None, None
        try:
            value = work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=run, name="llmproxy credentials", daemon=True).start()
    return await outcome
