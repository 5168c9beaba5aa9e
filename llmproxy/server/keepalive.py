"""Keeps a silent stream alive with bytes that clients ignore and idle proxies do not.

It is sent only after the answer has begun, and only between frames. One timer for each stream looks when the last bytes
went out, so that a stream that is not silent costs nothing more. Begin reading at `Keepalive`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# Proxies and load balancers drop connections after 30 to 60 silent seconds.
_SILENCE_S = 15.0


class Keepalive:
    """Calls `send` after each 15 seconds of silence, from its creation until `stop`.

    `wrote_s` is when the last bytes went out (monotonic), kept by the caller. `send` does nothing inside a frame.
    """

    __slots__ = ("_send", "_timer", "wrote_s")

    def __init__(self, send: Callable[[], None]) -> None:
        self.wrote_s = time.monotonic()
        self._send = send
        self._timer = asyncio.get_running_loop().call_later(_SILENCE_S, self._look)

    def stop(self) -> None:
        """Send nothing more."""
        self._timer.cancel()

    def _look(self) -> None:
        now_s = time.monotonic()
        if now_s - self.wrote_s >= _SILENCE_S:
            self._send()
            self.wrote_s = now_s
        wait_s = self.wrote_s + _SILENCE_S - now_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)
