"""The deadline of a process that stops; `tests/acceptance/test_stopping_user_code.py` sees it end by force."""

from __future__ import annotations

import os
import queue
import threading
from typing import NoReturn

import pytest

from llmproxy.server.shutdown import GRACE_S, Shutdown
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[int]:
    """Return the exit codes of processes that would have ended."""
    codes: queue.Queue[int] = queue.Queue()

    def end(code: int) -> NoReturn:
        codes.put(code)
        threading.Event().wait()
        raise AssertionError

    monkeypatch.setattr(os, "_exit", end)
    return codes


def test_the_earliest_deadline_counts_whatever_the_order(
    codes: queue.Queue[int], caplog: pytest.LogCaptureFixture
) -> None:
    shutdown = Shutdown()
    shutdown.left = lambda: ["exchange 7"]
    shutdown._deadlines.put(0.0)
    shutdown._deadlines.put(1e9)
    assert codes.get(timeout=PATIENCE_S) == 1
    assert "still there: exchange 7" in caplog.text


def test_what_cannot_be_said_does_not_keep_it(codes: queue.Queue[int], caplog: pytest.LogCaptureFixture) -> None:
    shutdown = Shutdown()
    shutdown.left = lambda: [str(1 / 0)]
    shutdown.end_within(0)
    assert codes.get(timeout=PATIENCE_S) == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_console_that_takes_nothing_does_not_keep_it(
    codes: queue.Queue[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()
    monkeypatch.setattr("llmproxy.server.shutdown._SAY_S", 0.01)
    shutdown = Shutdown()
    shutdown.left = lambda: [str(forever.wait())]
    shutdown.end_within(0)
    assert codes.get(timeout=PATIENCE_S) == 1
    forever.set()


def test_it_is_not_ended_once_it_is_closed(codes: queue.Queue[int]) -> None:
    shutdown = Shutdown()
    assert shutdown.remaining_s() == GRACE_S
    shutdown.end_within(60)
    assert 0 < shutdown.remaining_s() <= 60
    shutdown.close()
    with pytest.raises(queue.Empty):
        codes.get(timeout=0.2)
