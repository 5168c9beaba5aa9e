from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from llmproxy.routing.health_checks import HealthChecks
from llmproxy.target import Target
from llmproxy.target_health import BreakerSettings, TargetHealth
from tests.support import vendors
from tests.support.pooling import pool
from tests.support.provider import Upstream, drop
from tests.support.proxy import provider
from tests.support.waiting import until


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


def out(upstream: Upstream, name: str) -> Target:
    """Return a target that is taken out for an hour."""
    settings = BreakerSettings(failures=1, recovery_s=3600.0, max_recovery_s=3600.0)
    health = TargetHealth(name, "m", settings)
    health.breaker.fail(time.monotonic())
    return Target(provider=provider(upstream, name), model="m", health=health)


async def test_a_target_whose_provider_answers_may_be_probed_at_once(upstream: Upstream) -> None:
    target = out(upstream, "one")
    assert target.health is not None
    for script in (vendors.failure(503, "X"), vendors.failure(429, "X"), drop):
        upstream.next(script)
        async with pool() as made:
            await HealthChecks(lambda: [target], made.open, None).check()
        assert not target.health.breaker.admits(time.monotonic())
    async with pool() as made:
        await HealthChecks(lambda: [target, target], made.open, None).check()
    assert target.health.breaker.admits(time.monotonic())
    assert [request.path for request in upstream.requests] == ["/v1/models"] * 4


async def test_checks_run_every_so_often_until_they_are_closed(upstream: Upstream) -> None:
    target = out(upstream, "one")
    async with pool() as made:
        checks = HealthChecks(lambda: [target], made.open, 0.01)
        await checks.start()
        await asyncio.to_thread(until, lambda: bool(upstream.requests), "a check")
        await checks.close()
        never = HealthChecks(lambda: [target], made.open, None)
        await never.start()
        await never.close()
