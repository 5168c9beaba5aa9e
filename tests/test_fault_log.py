from __future__ import annotations

import logging

import pytest

from llmproxy.fault_log import PERIOD_S, FaultLog

NAME = "llmproxy.test"


def test_a_fault_with_every_request_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    faults = FaultLog(logging.getLogger(NAME), lambda: now_s[0])
    for second in range(3 * 60):
        now_s[0] = float(second)
        faults.failed(logging.ERROR, "lost %d", second)
    assert [record.getMessage() for record in caplog.records] == ["lost 0", "lost 60", "lost 120"]


def test_what_fails_and_works_in_turn_is_logged_once_a_minute_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now_s = [0.0]
    faults = FaultLog(logging.getLogger(NAME), lambda: now_s[0])
    for turn in range(600):
        now_s[0] = turn / 10
        faults.failed(logging.ERROR, "lost")
        faults.works("works again")
    assert [record.getMessage() for record in caplog.records] == ["lost", "works again"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.INFO]
    now_s[0] = PERIOD_S
    faults.failed(logging.ERROR, "lost")
    faults.works("works again")
    assert len(caplog.records) == 4


def test_the_end_of_a_fault_that_was_not_logged_is_not_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    FaultLog(logging.getLogger(NAME)).works("works again")
    assert caplog.records == []
