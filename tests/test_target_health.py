"""Circuit breakers by a clock of the test, and the mean time to the first token."""

from __future__ import annotations

import pytest

from llmproxy.target_health import Breaker, BreakerSettings, TargetHealth

SETTINGS = BreakerSettings(failures=3, window_s=60.0, failure_ratio=0.2, recovery_s=30.0, max_recovery_s=100.0)


def failed(breaker: Breaker, *times_s: float) -> Breaker:
    for now_s in times_s:
        breaker.fail(now_s)
    return breaker


def test_failures_within_the_window_open_it() -> None:
    assert failed(Breaker(SETTINGS), 0.0, 59.0).state == "closed"
    assert failed(Breaker(SETTINGS), 0.0, 59.0, 61.0).state == "closed"
    assert failed(Breaker(SETTINGS), 0.0, 30.0, 59.0).state == "open"


def test_a_busy_target_may_fail_now_and_then() -> None:
    breaker = Breaker(SETTINGS)
    for second in range(600):
        for _ in range(9):
            breaker.succeed(float(second))
        breaker.fail(float(second))
    assert breaker.state == "closed"
    assert failed(breaker, *[600.0] * 80).state == "open"


def test_one_probe_decides_and_failed_ones_double_the_time() -> None:
    breaker = failed(Breaker(SETTINGS), 0.0, 0.0, 0.0)
    for open_s, recovery_s in ((0.0, 30.0), (30.0, 60.0), (90.0, 100.0), (190.0, 100.0)):
        assert (breaker.recovery_s, breaker.admits(open_s + recovery_s - 0.1)) == (recovery_s, False)
        assert not breaker.enter(open_s + recovery_s - 0.1)
        assert breaker.enter(open_s + recovery_s)
        assert not breaker.admits(open_s + recovery_s) and not breaker.enter(open_s + recovery_s)
        breaker.fail(open_s + recovery_s, probe=True)
    assert breaker.enter(390.0)
    breaker.succeed(390.0, probe=True)
    assert breaker.state == "closed" and breaker.recovery_s == 0.0
    assert failed(breaker, 391.0, 391.0).state == "closed"


def test_a_probe_without_an_outcome_waits_for_the_next_time() -> None:
    breaker = failed(Breaker(SETTINGS), 0.0, 0.0, 0.0)
    assert breaker.enter(30.0)
    breaker.abandon(31.0, probe=True)
    assert not breaker.admits(60.9) and breaker.enter(61.0)


def test_calls_that_began_before_it_opened_decide_nothing() -> None:
    breaker = failed(Breaker(SETTINGS), 0.0, 0.0, 0.0)
    failed(breaker, 5.0)
    breaker.succeed(6.0)
    assert (breaker.state, breaker.retry_s) == ("open", 30.0)
    assert breaker.enter(30.0)
    failed(breaker, 30.5)
    breaker.abandon(30.6)
    breaker.succeed(31.0)
    assert breaker.state == "half_open"


def test_changes_are_told_once() -> None:
    told: list[str] = []
    breaker = Breaker(SETTINGS)
    breaker.on_change = lambda: told.append(breaker.state)
    failed(breaker, *[0.0] * 10)
    breaker.enter(30.0)
    breaker.fail(30.0, probe=True)
    breaker.enter(90.0)
    breaker.succeed(90.0, probe=True)
    assert told == ["open", "closed"] and breaker.opened == 1


def test_a_measurement_fades() -> None:
    health = TargetHealth("p", None, SETTINGS)
    assert health.first_token_s(stream=True) is None and health.expected_s(0.0, stream=True) == 0.0
    health.note_first_token(2.0, 0.0, stream=True)
    assert health.first_token_s(stream=False) is None
    assert health.expected_s(0.0, stream=True) == pytest.approx(2.0)
    assert health.expected_s(30.0, stream=True) == pytest.approx(1.0)
    health.note_first_token(1.0, 300.0, stream=True)
    assert health.first_token_s(stream=True) == pytest.approx(1.0, abs=0.01)
