"""Failover and retry: how answers end."""

from __future__ import annotations

from llmproxy.errors import UpstreamError
from llmproxy.target_health import BreakerSettings
from tests.support.targets import Line, Moody


async def test_calls_count_as_under_way_until_their_stream_ends() -> None:
    line = Line(Moody("one", b"data: 1\n\n"))
    exchange = line.exchange(stream=True)
    [target] = line.targets
    assert target.health is not None
    answer = await line.ask(exchange)
    assert answer.stream is not None and target.health.running == 1
    line.failover.finish(exchange)
    line.failover.finish(exchange)
    assert target.health.running == 0


async def test_streams_that_break_count_against_the_target() -> None:
    line = Line(Moody("one", b"data: 1\n\n"), breaker=BreakerSettings(failures=2, failure_ratio=0.5))
    for _ in range(2):
        exchange = line.exchange(stream=True)
        await line.ask(exchange)
        exchange.outcome, exchange.error = "broken", UpstreamError("cut")
        line.failover.finish(exchange)
    assert line.health.out == 1
