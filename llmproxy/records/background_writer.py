"""A thread that writes what the event loop gives it, behind a bounded queue: traces, the audit log, the console.

A slow disk or a stopped terminal must never hold up traffic, and what could not be written is counted and said. What
"to write" means is the business of the `Sink`. Begin reading at `Writer`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

T = TypeVar("T", contravariant=True)
Item = TypeVar("Item")

log = logging.getLogger(__name__)

CAPACITY = 10_000
# The thread gathers what comes within this time, so that it wakes up ten times a second and not for every exchange: the
# fewer and larger the batches, the less the two threads stand in each other's way.
GATHER_S = 0.1
# How often the sink is called when nothing comes.
IDLE_S = 1.0
ROOM_S = 0.05
_ROOM_STEPS = 10
CLOSE_S = 10.0


class Sink(Protocol[T]):
    """Where items go. All of it is called by the writer's thread, never at the same time."""

    def write(self, item: T) -> None:
        """Take one item. OSError loses that item."""

    def flush(self) -> None:
        """The queue is empty for now, about every second also when nothing came: write what `write` kept back, tidy up.
        OSError loses all items since the last flush.
        """

    def close(self) -> None:
        """No more items come. Called after the last flush."""


class BackgroundWriter(Generic[Item]):
    """Hands items to a thread. `name` is what logs call it, such as "trace".

    `lost` counts items that were not written, `fault` says why the last one was not, None once writing works again.
    """

    def __init__(self, name: str, sink: Sink[Item], capacity: int = CAPACITY) -> None:
        self.name = name
        self.lost = 0
        self.fault: str | None = None
        self._sink = sink
        self._capacity = capacity
        self._queue: deque[Item] = deque()
        self._wanted = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"llmproxy-{self.name}", daemon=True)
        self._thread.start()

    @property
    def crowded(self) -> bool:
        """Whether new exchanges should wait for `room`: half of the queue is left to those that already run."""
        return len(self._queue) * 2 >= self._capacity

    async def room(self) -> None:
        """Wait until the thread has caught up, for 50 ms at most: what slows traffic down to what can be written."""
        for _ in range(_ROOM_STEPS):
            if not self.crowded:
                return
            await asyncio.sleep(ROOM_S / _ROOM_STEPS)

    def put(self, item: Item) -> bool:
        """Give one item to the thread; False when the queue is full and the item is lost. Never blocks."""
        if len(self._queue) >= self._capacity or self._closing:
            self._lose(1, "more came than could be written")
            return False
        self._queue.append(item)
        if not self._wanted.is_set():
            self._wanted.set()
        return True

    async def close(self) -> None:
        """Write what is left, for 10 seconds at most, and end the thread. What is left then is lost."""
        self._closing = True
        self._wanted.set()
        if self._thread is None:
            return
        await asyncio.to_thread(self._thread.join, CLOSE_S)
        if self._thread.is_alive():
            self._lose(len(self._queue), f"writing took longer than {CLOSE_S:g} s at the end")

    def describe(self) -> dict[str, object]:
        """Its state for `/health`."""
        return {"queued": len(self._queue), "lost": self.lost, "fault": self.fault}

    def _run(self) -> None:
        while not self._closing:
            if self._wanted.wait(IDLE_S):
                if not self._closing:
                    time.sleep(GATHER_S)
                self._wanted.clear()
            self._drain()
        while self._queue:
            self._drain()
        try:
            self._sink.close()
        except OSError as error:
            self._lose(0, str(error))

    def _drain(self) -> None:
        """Write all that is there. What stands in the queue once `_closing` is set is seen by the last call."""
        written = lost = 0
        fault: Exception | None = None
        for _ in range(len(self._queue)):  # and not what comes meanwhile, which may be no less
            try:
                self._sink.write(self._queue.popleft())
                written += 1
            except OSError as error:
                lost, fault = lost + 1, error
            except Exception as error:
                # A record that nobody foresaw must not end the thread, and with it all records that follow.
                log.exception("%s: a record could not be made", self.name)
                lost, fault = lost + 1, error
        try:
            self._sink.flush()
        except OSError as error:
            lost, written, fault = lost + written, 0, error
        if fault is not None:
            self._lose(lost, str(fault))
        elif written and self.fault is not None:
            log.warning("%s: writing works again; %d records were lost", self.name, self.lost)
            self.fault = None

    def _lose(self, count: int, why: str) -> None:
        """Count a loss; the first of a series is logged. Who sees the count sees the reason."""
        first, self.fault = self.fault is None, why
        self.lost += count
        if first:
            log.error("%s: records are lost: %s", self.name, why)
