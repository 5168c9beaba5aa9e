from __future__ import annotations

import logging
import threading

import pytest

from llmproxy.records.background_writer import BackgroundWriter
from tests.support.waiting import until_async


class Kept:
    """A sink that keeps what it gets. While `closed_gate` is set it waits; `fault` is raised for the next items."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.flush_fault: OSError | None = None
        self.closed = False

    def write(self, item: int) -> None:
        self.gate.wait()
        if self.fault:
            raise self.fault
        self.items.append(item)

    def flush(self) -> None:
        if self.flush_fault:
            raise self.flush_fault

    def close(self) -> None:
        self.closed = True


async def test_items_are_written_in_order_and_what_is_left_at_the_end_too() -> None:
    sink = Kept()
    writer = BackgroundWriter("test", sink)
    writer.start()
    for number in range(1000):
        assert writer.put(number)
    await writer.close()
    assert sink.items == list(range(1000))
    assert sink.closed
    assert writer.describe() == {"queued": 0, "lost": 0, "fault": None}
    assert not writer.put(1)


async def test_a_full_queue_loses_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink = Kept()
    sink.gate.clear()
    writer = BackgroundWriter("test", sink, capacity=10)
    writer.start()
    taken = sum(writer.put(number) for number in range(50))
    assert 10 <= taken <= 11, "one may be in the sink's hands"
    assert (
        writer.lost == 50 - taken and writer.fault == "the queue is full: items arrive faster than they can be written"
    )
    sink.gate.set()
    await until_async(lambda: writer.fault is None, "writing to work again")
    await writer.close()
    assert len(sink.items) == taken
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.INFO]


async def test_a_crowded_writer_holds_up_for_a_moment_only() -> None:
    sink = Kept()
    sink.gate.clear()
    writer = BackgroundWriter("test", sink, capacity=10)
    for number in range(6):
        writer.put(number)
    assert writer.crowded
    await writer.room()
    assert writer.crowded
    writer.start()
    sink.gate.set()
    await until_async(lambda: not writer.crowded, "room")
    await writer.room()
    await writer.close()


async def test_an_item_that_cannot_be_written_is_lost_and_the_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink = Kept()
    sink.fault = OSError(28, "No space left on device")
    writer = BackgroundWriter("test", sink)
    writer.start()
    writer.put(1)
    await until_async(lambda: writer.lost == 1, "the loss")
    assert writer.fault == "no space left on device"
    sink.fault = None
    writer.put(2)
    await until_async(lambda: writer.fault is None, "writing to work again")
    await writer.close()
    assert (sink.items, writer.lost) == ([2], 1)
    assert "1 records were lost" in caplog.text


async def test_what_nobody_foresaw_loses_one_item_and_not_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    sink = Kept()
    sink.fault = ZeroDivisionError("oh")
    writer = BackgroundWriter("test", sink)
    writer.start()
    writer.put(1)
    await until_async(lambda: writer.lost == 1, "the loss")
    sink.fault = None
    writer.put(2)
    await writer.close()
    assert sink.items == [2]
    assert "ZeroDivisionError" in caplog.text


async def test_a_flush_that_fails_loses_all_since_the_last() -> None:
    sink = Kept()
    sink.flush_fault = OSError("full")
    writer = BackgroundWriter("test", sink)
    for number in range(3):
        writer.put(number)
    writer.start()
    await until_async(lambda: writer.lost == 3, "the loss of all three")
    await writer.close()
