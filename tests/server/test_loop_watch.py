from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from llmproxy.middleware.base import Middleware
from llmproxy.server import loop_watch
from llmproxy.server.loop_watch import LoopWatch
from llmproxy.server.user_frames import UserFrames
from tests.support.waiting import PATIENCE_S, until_async


class Sleepy(Middleware):
    """Blocks the loop in its start."""

    def block(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_watch, "BLOCKED_S", 0.1)
    monkeypatch.setattr(loop_watch, "STILL_S", 0.3)
    monkeypatch.setattr(loop_watch, "_INTERVAL_S", 0.02)


async def _blocked(sleepy: Sleepy, seen: Callable[[], bool], seconds: float = 0.2) -> None:
    """Block the loop until that is seen: on a busy machine the thread that looks may come too late."""
    async with asyncio.timeout(PATIENCE_S):
        while not seen():
            sleepy.block(seconds)
            await asyncio.sleep(0.01)


async def test_what_blocked_the_loop_is_named_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_watch, "STILL_S", 3600.0)
    sleepy = Sleepy(Sleepy.Config())
    watch = LoopWatch(UserFrames([("middleware 'x'", sleepy)]))
    watch.start()
    await _blocked(sleepy, lambda: "block of middleware 'x' (" in caplog.text)
    assert "blocked the event loop for " in caplog.text and "test_loop_watch.py, line" in caplog.text
    sleepy.block(0.2)
    await asyncio.sleep(0.1)
    assert len(caplog.records) == 1
    watch.stop()


async def test_what_blocks_for_long_is_named_before_it_ends(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_watch, "_QUIET_S", 0.0)
    sleepy = Sleepy(Sleepy.Config())
    watch = LoopWatch(UserFrames([("middleware 'x'", sleepy)]))
    watch.start()
    await _blocked(sleepy, lambda: "has blocked the event loop" in caplog.text, 0.6)
    await until_async(lambda: " has " not in caplog.records[-1].getMessage(), "the second warning")
    watch.stop()


async def test_what_is_not_a_users_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    watch = LoopWatch(UserFrames([("middleware 'x'", Sleepy(Sleepy.Config()))]))
    watch.start()
    threading.Event().wait(0.3)
    await asyncio.sleep(0.1)
    assert not caplog.records
    watch.stop()
