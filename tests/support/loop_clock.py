"""Move the clock of the running event loop, so that what is due later is due now: no test waits, none is too slow.

Only what asks the loop for the time sees it (timers, `asyncio.timeout`); uvloop's clock cannot be moved.
"""

from __future__ import annotations

import asyncio

_TURNS = 10


class LoopClock:
    """The clock of the running loop. Real time goes on."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        real, self._ahead_s = loop.time, 0.0
        loop.time = lambda: real() + self._ahead_s  # type: ignore[method-assign]  # for this loop, which ends with the test

    async def move(self, seconds: float) -> None:
        """Go ahead by `seconds`, and let what is due then happen."""
        self._ahead_s += seconds
        for _ in range(_TURNS):
            await asyncio.sleep(0)
