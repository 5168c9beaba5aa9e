from __future__ import annotations

import logging

import pytest

from llmproxy.routing.health import Health
from llmproxy.target import Target
from llmproxy.target_health import BreakerSettings, TargetHealth
from tests.support.exchanges import NamedProvider

SETTINGS = BreakerSettings(failures=2)


def trip(target: TargetHealth) -> None:
    for _ in range(3):
        target.breaker.fail(10.0)


def test_the_same_provider_and_model_is_the_same_target() -> None:
    health = Health()
    one = health.of("p", "m", SETTINGS)
    other = BreakerSettings(failures=9)
    assert health.of("p", "m", other) is one and one.breaker.settings is other
    assert health.of("p", None, SETTINGS) is not one and len(health.all()) == 2


def test_each_change_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    health = Health()
    target = health.of("p", "m", SETTINGS)
    trip(target)
    assert health.out == 1 and "target p/m is taken out for 30 s after 2 failed calls" in caplog.text
    assert list(health.faults()) == ["p/m"] and "p/m" in health.faults()["p/m"]
    assert target.breaker.enter(50.0)
    target.breaker.succeed(50.0, probe=True)
    assert health.out == 0 and health.faults() == {}
    assert [(record.levelno, record.message) for record in caplog.records][1:] == [
        (logging.INFO, "target p/m answers again and is taken back")
    ]


def test_a_new_configuration_forgets_other_targets() -> None:
    health = Health()
    kept, gone = health.of("p", "m", SETTINGS), health.of("q", None, SETTINGS)
    trip(kept)
    trip(gone)
    health.keep([Target(provider=NamedProvider("p"), model="m", health=kept)])
    assert health.all() == [kept] and health.out == 1
