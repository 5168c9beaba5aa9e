"""Tell runs apart that begin with the same request at the same time: programs start several with one prompt.

Their first requests have the same key, so the first later request that goes on from it claims the first of their
sessions, the next one the second: which of them was which nobody can say, and nobody needs to. Begin at `TwinRuns`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

_MOST_KEYS = 1000


class TwinRuns:
    """First requests that are not over, and sessions of equal ones that nobody has gone on with, by key. A key is of
    one tenant."""

    __slots__ = ("_entered", "_running", "_waiting")

    def __init__(self) -> None:
        self._entered: dict[str, asyncio.Event] = {}
        self._running: dict[str, list[str]] = {}
        self._waiting: OrderedDict[str, deque[str]] = OrderedDict()

    async def enter(self, key: str) -> bool:
        """Return whether the session of a request may be looked up; `leave` follows then. Return False where a request
        with that key is not over. While the session of such a one is looked up, wait: both would find the same."""
        while key not in self._running:
            entered = self._entered.get(key)
            if entered is None:
                self._entered[key] = asyncio.Event()
                return True
            await entered.wait()
        return False

    def leave(self, key: str) -> None:
        """Note that a request for which `enter` returned True has its session, with which `begin` was called, or will
        have none."""
        self._entered.pop(key).set()

    def begin(self, key: str, session: str) -> None:
        """Note a request that begins."""
        running = self._running.setdefault(key, [])
        if running and session not in running:
            waiting = self._waiting.setdefault(key, deque(running[:1]))
            waiting.append(session)
            if len(self._waiting) > _MOST_KEYS:
                self._waiting.popitem(last=False)
        running.append(session)

    def end(self, key: str, session: str) -> None:
        """Note that a request is over."""
        running = self._running.get(key, [])
        if session in running:
            running.remove(session)
        if not running:
            self._running.pop(key, None)

    def claim(self, key: str) -> str | None:
        """Return the session that a request goes on with that follows the one with that key; None where that is
        clear."""
        waiting = self._waiting.get(key)
        if waiting is None:
            return None
        session = waiting.popleft()
        if not waiting:
            del self._waiting[key]
        return session
