from __future__ import annotations

import asyncio
import threading
import time

import pytest

from llmproxy.middleware.base import Middleware
from llmproxy.server import loop_watch
from llmproxy.server.loop_watch import LoopWatch
from llmproxy.server.user_frames import UserFrames
from tests.support.waiting import until_async


class Sleepy(Middleware):
    """Blocks the loop in its start."""

    def block(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_watch, "BLOCKED_S", 0.1)
    monkeypatch.setattr(loop_watch, "STILL_S", 0.3)
    monkeypatch.setattr(loop_watch, "_INTERVAL_S", 0.02)


async def test_what_blocked_the_loop_is_named_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    sleepy = Sleepy(Sleepy.Config())
    watch = LoopWatch(UserFrames([("middleware 'x'", sleepy)]))
    watch.start()
    sleepy.block(0.2)
    await until_async(lambda: "block of middleware 'x' (" in caplog.text, "the warning")
    assert "blocked the event loop for 0." in caplog.text and "test_loop_watch.py, line" in caplog.text
    sleepy.block(0.2)
    await asyncio.sleep(0.1)
    assert len(caplog.records) == 1
    watch.stop()


async def test_what_blocks_for_long_is_named_before_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    sleepy = Sleepy(Sleepy.Config())
    watch = LoopWatch(UserFrames([("middleware 'x'", sleepy)]))
    watch.start()
    sleepy.block(0.6)
    assert "has blocked the event loop" in caplog.text
    await until_async(lambda: len(caplog.records) == 2, "the second warning")
    watch.stop()


async def test_what_is_not_a_users_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    watch = LoopWatch(UserFrames([("middleware 'x'", Sleepy(Sleepy.Config()))]))
    watch.start()
    threading.Event().wait(0.3)
    await asyncio.sleep(0.1)
    assert not caplog.records
    watch.stop()
