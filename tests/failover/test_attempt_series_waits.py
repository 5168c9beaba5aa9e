"""Waits between the calls for one exchange, while clocks move, timers are early and others change what is shared."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.route import RetryPolicy
from llmproxy.routing.shared_health import SharedHealth
from llmproxy.stores.breakers import OutageRow
from llmproxy.stores.memory_breakers import MemoryBreakers
from llmproxy.target import TargetLimit
from llmproxy.target_health import BreakerSettings
from tests.support.targets import Line, Moody, asked, reply
from tests.support.waiting import until_async


@pytest.mark.parametrize("tick_s", [0.0, 0.0001, 0.0003, 0.0007, 0.003])
async def test_a_target_that_becomes_free_while_it_is_asked_for_is_called(tick_s: float) -> None:
    """The clock moves with each look at it, and timers are early by up to six of these steps."""
    for early in range(60):
        refused = reply(429, ("Retry-After", "2"))
        used_up = ("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "10m")
        one, two = Moody("one", reply(200, *used_up)), Moody("two", refused, 200)
        line = Line(one, two, policy=RetryPolicy(retries=2, max_wait_s=3.0))
        await line.ask()
        line.move(tick_s, early * tick_s / 10)
        assert (await line.ask()).status == 200
        assert asked([one, two]) == [1, 2] and line.health.lines.refused == 0


async def test_a_target_that_is_taken_out_hides_none_that_says_when_to_come_back() -> None:
    one, two = Moody("one", 500), Moody("two", reply(503, ("Retry-After", "2")), 200)
    line = Line(one, two, policy=RetryPolicy(retries=1), breaker=BreakerSettings(failures=2), jitter=0.1)
    line.targets[0].health.breaker.fail(line.now_s)  # type: ignore[union-attr]  # it has one
    assert (await line.ask()).status == 200
    assert asked([one, two]) == [1, 2] and sum(line.waits) == pytest.approx(2.0)


async def test_a_target_that_is_taken_out_during_a_wait_hides_none_that_becomes_ready() -> None:
    one, two = Moody("one", 500), Moody("two", reply(503, ("Retry-After", "2")), 200)
    line = Line(one, two, policy=RetryPolicy(retries=2), breaker=BreakerSettings(failures=2), jitter=0.1)
    health, sleep = line.targets[0].health, line.failover.sleep
    assert health is not None

    async def sleep_while_others_fail(seconds: float) -> None:
        await sleep(seconds)
        health.breaker.fail(line.now_s)

    line.failover.sleep = sleep_while_others_fail
    assert (await line.ask()).status == 200
    assert asked([one, two]) == [1, 2] and line.waits == pytest.approx([0.05, 1.95])


@pytest.mark.parametrize("early_s", [0.0001, 0.0009])
async def test_a_retry_waits_until_its_target_is_ready_though_timers_are_early(early_s: float) -> None:
    one = Moody("one", reply(429, ("Retry-After", "2")), 200)
    line = Line(one, policy=RetryPolicy(retries=1, max_wait_s=0.0))
    line.move(0.0001, early_s)
    assert (await line.ask()).status == 200 and line.health.lines.refused == 0


async def test_a_client_that_leaves_while_others_are_asked_whether_they_probe_keeps_nothing() -> None:
    """Neither its place at the target, nor the right to probe it, which the store may have given it already."""

    class Slow(MemoryBreakers):
        async def probe(self, target: str, lease_s: float) -> bool:
            given = await super().probe(target, lease_s)
            await asyncio.Event().wait()
            return given

    line = Line(
        Moody("one", 500, 200), breaker=BreakerSettings(failures=1, recovery_s=30.0), limit=TargetLimit(concurrent=1)
    )
    rows: dict[str, OutageRow] = {}
    line.health.shared = shared = SharedHealth(line.health, Slow(lambda: line.now_s, rows), lambda: line.now_s)
    assert (await line.ask()).status == 500
    await shared.sync()
    line.now_s += 30
    task = asyncio.get_running_loop().create_task(line.ask())
    await until_async(lambda: rows["one"].probe_until_s > line.now_s, "the right to probe")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await shared.sync()
    line.now_s += 30
    line.health.shared = SharedHealth(line.health, MemoryBreakers(lambda: line.now_s, rows), lambda: line.now_s)
    assert (await line.ask()).status == 200 and line.health.out == 0


async def test_a_call_that_a_middleware_repeats_gives_its_place_back_each_time() -> None:
    one = Moody("one")
    line = Line(one, limit=TargetLimit(concurrent=2))
    for _ in range(3):
        exchange = line.exchange()
        for _ in range(2):
            await line.ask(exchange)
        line.failover.finish(exchange)
    assert asked([one]) == [6] and line.waits == []
