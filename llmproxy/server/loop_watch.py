"""Report what blocks the event loop: a hook that sleeps or computes for seconds lets nobody else be served.

A thread asks the loop four times a second for a sign of life; when none comes it looks at the stack of the loop. So
exchanges pay nothing for it. It runs only where a component is a user's. Begin reading at `LoopWatch`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time

from llmproxy.server.user_frames import UserFrames

log = logging.getLogger(__name__)

BLOCKED_S = 1.0
STILL_S = 5.0  # after so long it is reported although it goes on
_INTERVAL_S = 0.25
_QUIET_S = 60.0  # between two reports of one method


class LoopWatch:
    """Watches the running loop from `start` until `stop`."""

    def __init__(self, frames: UserFrames) -> None:
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered = threading.Event()
        self._stopped = threading.Event()
        self._reported_s: dict[str, float] = {}
        self._watching = False

    def start(self) -> None:
        """Begin to watch, as soon as there are methods of users."""
        if self._frames and not self._watching:
            self._watching = True
            threading.Thread(target=self._watch, name="llmproxy loop watch", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(_INTERVAL_S):
            self._answered.clear()
            asked_s = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:
                return  # the loop is closed
            if not self._answered.wait(_INTERVAL_S):
                self._follow(asked_s)

    def _follow(self, asked_s: float) -> None:
        """Look at the stack until the loop answers, and report what was seen there."""
        where, reported = "", False
        while True:
            where = self._frames.running(self._loop_thread) or where
            answered = self._answered.wait(_INTERVAL_S)
            blocked_s = time.monotonic() - asked_s
            if where and blocked_s >= (BLOCKED_S if answered else STILL_S) and (answered or not reported):
                self._report(where, blocked_s, "blocked" if answered else "has blocked", reported)
                reported = True
            if answered or self._stopped.is_set():
                return

    def _report(self, where: str, blocked_s: float, verb: str, reported: bool) -> None:
        method, now_s = where.partition(" (")[0], time.monotonic()
        if reported or now_s - self._reported_s.get(method, -_QUIET_S) >= _QUIET_S:
            self._reported_s[method] = now_s
            log.warning(
                "slow: %s %s the event loop for %.1f s, and nobody was served meanwhile; "
                "await what takes long, or run it with asyncio.to_thread",
                where,
                verb,
                blocked_s,
            )
