from __future__ import annotations

import json
import time
from typing import Any

import pytest

from llmproxy.metrics.counters import Metrics
from llmproxy.routing.health import Health
from llmproxy.server.pages.health import HealthPages, States, count_states
from llmproxy.server.pages.page_state import EffectiveConfig, ProcessState
from llmproxy.target_health import BreakerSettings
from tests.server.pages.test_admin import asking
from tests.server.pages.test_models import Place


def pages(*, states: States = (), stopping: bool = False, health: Health | None = None, **config: Any) -> HealthPages:
    process = ProcessState(
        version="1",
        started_s=time.monotonic() - 60,
        metrics=Metrics(),
        health=health or Health(),
        stopping=lambda: stopping,
        pid=7,
    )
    return HealthPages(process, EffectiveConfig(values=config, providers=[Place("openai", "*")]), lambda: states)


async def shown(made: HealthPages, name: str) -> tuple[int, Any]:
    answer = await getattr(made, name)(asking(f"/{name}"))
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize(("name", "status"), [("health", 503), ("healthz", 503), ("livez", 200), ("readyz", 503)])
async def test_a_server_that_stops_lives_and_takes_no_requests(name: str, status: int) -> None:
    assert (await shown(pages(stopping=True), name))[0] == status


async def test_a_fault_degrades_and_does_not_stop() -> None:
    made = pages(states=[("trace", {"fault": "disk full", "lost": 2})])
    assert [(await shown(made, name))[1]["status"] for name in ("health", "healthz", "readyz")] == [
        "degraded",
        "degraded",
        "ok",
    ]


async def test_it_is_ready_while_one_target_may_be_called() -> None:
    health = Health()
    settings = BreakerSettings(failures=1, recovery_s=100)
    targets = [health.of("a", "m", settings), health.of("b", "m", settings)]
    now_s = time.monotonic()
    statuses = []
    for target in targets:
        target.breaker.fail(now_s)
        statuses.append((await shown(pages(health=health), "readyz"))[0])
    targets[0].breaker.retry_s = now_s
    statuses.append((await shown(pages(health=health), "readyz"))[0])
    assert statuses == [200, 503, 200], "a target whose time to recover is over takes the next request"


async def test_healthz_shows_the_first_limit_of_requests() -> None:
    limits = [{"tokens": 5, "requests": None, "per": 1.0}, {"requests": 7, "per": 90.0}]
    page = (await shown(pages(limits=limits, logging={"level": "debug", "requests": True}), "healthz"))[1]
    assert page["rate_limit"] == {"enabled": True, "window_seconds": 90, "max_requests": 7}
    assert page["logging"] == {"enabled": True, "level": "DEBUG"}


def test_states_are_added_up_by_type() -> None:
    states: States = [("trace", {"lost": 2}), ("trace", {"lost": 1}), ("audit", {"fault": None})]
    assert count_states(states, "lost") == {"trace": 3}
