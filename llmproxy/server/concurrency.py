"""Limit how many requests of clients run at the same time: the others wait in order, and neither long nor too many.

A request that waits has cost its head and what its socket holds: its body is read afterwards. Begin reading at
`Concurrency.enter`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from llmproxy.errors import Overloaded

MAX_WAITING = 10
"""The number of requests that may wait for each one that may run."""


class Concurrency:
    """Counts running and waiting requests. It outlives configurations, which may have other limits."""

    __slots__ = ("_waiting", "running")

    def __init__(self) -> None:
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Return how many requests wait for their turn."""
        return len(self._waiting)

    def admits(self, limit: int | None) -> bool:
        """Return whether a request may run at once, and count it then. Without a limit it always may."""
        if limit is not None and (self.running >= limit or self._waiting):
            return False
        self.running += 1
        return True

    async def enter(self, limit: int, wait_s: float) -> None:
        """Wait for a turn, up to `wait_s` seconds. Raises Overloaded after that, or when too many wait.

        Called where `admits` says no.
        """
        if len(self._waiting) >= limit * MAX_WAITING:
            raise _busy(limit, wait_s)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came in the same moment
                self.leave(limit)
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise _busy(limit, wait_s) from None
            raise

    def leave(self, limit: int | None) -> None:
        """Count a request that has ended, and let those run that the limit allows now."""
        self.running -= 1
        while self._waiting and (limit is None or self.running < limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(None)


def _busy(limit: int, wait_s: float) -> Overloaded:
    message = f"The proxy is busy: {limit} requests are running (server.max_concurrent). Try again shortly"
    return Overloaded(message, retry_after_s=max(round(wait_s), 1))


async def wait_until_over(
    tasks: Sequence[asyncio.Task[None]], timeout_s: float, sooner: asyncio.Event | None = None
) -> None:
    """Wait until the tasks of requests are over, `sooner` is set or the time is."""
    if not tasks:
        return
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Task[Any]] = [loop.create_task(asyncio.wait(tasks))]
    if sooner is not None:
        waiting.append(loop.create_task(sooner.wait()))
    await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
