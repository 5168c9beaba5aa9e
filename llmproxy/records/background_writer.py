"""A thread that writes items from the event loop, behind a bounded queue: traces, the audit log, the console.

A slow disk or a stopped terminal must never hold up traffic; items that could not be written are counted and logged. A
`Sink` defines how an item is written. Begin reading at `BackgroundWriter`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

from llmproxy.fault_log import FaultLog
from llmproxy.system_errors import explain_fault

T = TypeVar("T", contravariant=True)
Item = TypeVar("Item")

log = logging.getLogger(__name__)

CAPACITY = 10_000
# The thread collects items for this time, so that it wakes up ten times a second and not for every exchange: fewer and
# larger batches disturb the event loop's thread less.
GATHER_S = 0.1
# How often the sink is flushed without items.
IDLE_S = 1.0
ROOM_S = 0.05
_ROOM_STEPS = 10
CLOSE_S = 10.0


class Sink(Protocol[T]):
    """Destination of items. All methods are called by the writer's thread, never concurrently."""

    def write(self, item: T) -> None:
        """Take one item. OSError loses that item."""

    def flush(self) -> None:
        """Write buffered items, and clean up. Called when the queue is empty, and about every second without items.
        OSError loses all items since the last flush.
        """

    def close(self) -> None:
        """Close the files. Called after the last flush."""


class BackgroundWriter(Generic[Item]):
    """Hands items to a thread. `name` is its name in logs, such as "trace".

    `lost` counts items that were not written; `fault` says why the last one was not, None once writing works again.
    """

    def __init__(self, name: str, sink: Sink[Item], capacity: int = CAPACITY) -> None:
        self.name = name
        self.lost = 0
        self.fault: str | None = None
        self._sink = sink
        self._capacity = capacity
        self._queue: deque[Item] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._losses, self._bugs = FaultLog(log), FaultLog(log)

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"llmproxy-{self.name}", daemon=True)
        self._thread.start()

    @property
    def crowded(self) -> bool:
        """Return whether new exchanges should wait for `room`: half of the queue is reserved for running ones."""
        return len(self._queue) * 2 >= self._capacity

    async def room(self) -> None:
        """Wait until the thread has caught up, 50 ms at most: slows traffic down to what can be written."""
        for _ in range(_ROOM_STEPS):
            if not self.crowded:
                return
            await asyncio.sleep(ROOM_S / _ROOM_STEPS)

    def put(self, item: Item) -> bool:
        """Queue one item; return False when the queue is full and the item is lost. Never blocks."""
        if len(self._queue) >= self._capacity or self._closing:
            self._lose(1, "the queue is full: items arrive faster than they can be written")
            return False
        self._queue.append(item)
        if not self._wake.is_set():
            self._wake.set()
        return True

    async def close(self) -> None:
        """Write the queued items, for 10 seconds at most, and end the thread. Items left then are lost."""
        self._closing = True
        self._wake.set()
        if self._thread is None:
            return
        await asyncio.to_thread(self._thread.join, CLOSE_S)
        if self._thread.is_alive():
            self._lose(len(self._queue), f"writing the rest took longer than {CLOSE_S:g} s at shutdown")

    def describe(self) -> dict[str, object]:
        """Return its state for `/health`."""
        return {"queued": len(self._queue), "lost": self.lost, "fault": self.fault}

    def _run(self) -> None:
        while not self._closing:
            if self._wake.wait(IDLE_S):
                if not self._closing:
                    time.sleep(GATHER_S)
                self._wake.clear()
            self._drain()
        while self._queue:
            self._drain()
        try:
            self._sink.close()
        except OSError as error:
            self._lose(0, _reason(error))

    def _drain(self) -> None:
        """Write all queued items. The last call sees everything queued before `_closing` was set."""
        written = lost = 0
        fault: Exception | None = None
        for _ in range(len(self._queue)):  # not the items that arrive meanwhile: they may never end
            try:
                self._sink.write(self._queue.popleft())
                written += 1
            except OSError as error:
                lost, fault = lost + 1, error
            except Exception as error:
                # A bug in one record must not end the thread and lose all later records.
                self._bugs.failed(logging.ERROR, "%s: a record could not be written", self.name, exc_info=error)
                lost, fault = lost + 1, error
        try:
            self._sink.flush()
        except OSError as error:
            lost, written, fault = lost + written, 0, error
        if fault is not None:
            self._lose(lost, _reason(fault))
        elif written:
            self.fault = None
            self._losses.works("%s: writing works again; %d records were lost", self.name, self.lost)

    def _lose(self, count: int, reason: str) -> None:
        """Count a loss; it is logged once a minute. The reason is set before the count."""
        self.fault = reason
        self.lost += count
        self._losses.failed(logging.ERROR, "%s: records are lost, %d until now: %s", self.name, self.lost, reason)


def _reason(error: Exception) -> str:
    place = error.filename if isinstance(error, OSError) else None
    return f"{place}: {explain_fault(error)}" if place else explain_fault(error)
