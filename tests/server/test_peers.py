from __future__ import annotations

from typing import Any

import pytest

from llmproxy.errors import ProxyError
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.sample import Sample
from llmproxy.metrics.stats import RunningExchange
from llmproxy.metrics.transfer import state_of
from llmproxy.server.peers import (
    Counters,
    HealthPart,
    ReloadReport,
    StatsPart,
    merge_counters,
    merge_health,
    merge_stats,
)

TARGET: dict[str, Any] = {"provider": "p", "model": "m", "state": "closed", "running": 2}
RUNNING = RunningExchange(provider="p", model="m", client="c", session=None, started_s=1.0)


def test_counters_are_a_sum() -> None:
    part = Counters(metrics=state_of(Metrics(lambda: 5)), samples=[Sample(name="n", help="h", value=1)])
    metrics, samples = merge_counters([part, part])
    assert (metrics.held_bytes(), [each.value for each in samples]) == (10, [2])


def test_figures_of_middlewares_become_one_as_each_says() -> None:
    one = StatsPart(running=[RUNNING], middlewares={"mine": {"hits": 1}, "cache": {"hits": 1}}, targets=[TARGET])
    both = merge_stats([one, one], {"mine": lambda parts: {"parts": len(parts)}})
    assert both.middlewares == {"mine": {"parts": 2}, "cache": {"hits": 2}}
    assert len(both.running) == 2 and both.targets == [{**TARGET, "running": 4}]


def test_a_fault_of_any_worker_is_one_of_the_server_and_a_target_is_out_once() -> None:
    one = HealthPart(in_flight=1, states=[("trace", {"lost": 0, "fault": None})], out={"p/m": "out for 3 s"})
    other = HealthPart(in_flight=2, states=[("trace", {"lost": 4, "fault": "full"})], out={"p/m": "out for 2 s"})
    reloading = HealthPart(in_flight=0, states=[], out={"p/n": "out"})
    assert merge_health([one, other, reloading]) == HealthPart(
        in_flight=3,
        states=[("trace", {"lost": 4, "fault": "full"})],
        out={"p/m": "out for 3 s", "p/n": "out"},
    )


def test_a_reload_that_failed_raises_what_it_was() -> None:
    with pytest.raises(ProxyError, match="wrong") as caught:
        ReloadReport(changes=[], ignored=[], error=("wrong", 422, "invalid_configuration")).check()
    assert (caught.value.status, caught.value.code) == (422, "invalid_configuration")
    done = ReloadReport(changes=["x"], ignored=[])
    assert done.check() is done
