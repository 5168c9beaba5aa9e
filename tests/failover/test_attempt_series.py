"""One call after the other: which follows which, when, and what the client gets at last."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.body import StreamedBody
from llmproxy.client_request import ClientRequest
from llmproxy.errors import BadRequest, ProxyError, UpstreamError
from llmproxy.failover.attempt_series import pause
from llmproxy.route import RetryPolicy, Route, Strategy
from llmproxy.target import Condition, Target, TargetLimit
from llmproxy.target_health import BreakerSettings
from tests.support.pieces import Pieces
from tests.support.targets import USED_UP, Line, Moody, asked, reply
from tests.support.waiting import until_async

TOO_LONG = json.dumps({"error": {"message": "no", "code": "context_length_exceeded"}}).encode()


async def test_after_a_pass_over_all_targets_some_are_called_again_with_growing_waits() -> None:
    one, two = Moody("one", 500), Moody("two", 503, "down", 200)
    line = Line(one, two, policy=RetryPolicy(retries=5, delay_s=0.5))
    exchange = line.exchange()
    answer = await line.ask(exchange)
    assert answer.status == 200 and asked([one, two]) == [3, 3]
    assert line.waits == [0.5, 1.0]
    assert answer.headers["x-llmproxy-provider"] == "two" and answer.headers["x-llmproxy-attempts"] == "6"
    assert [call.status or call.error for call in exchange.calls] == [500, 503, 500, "upstream_error", 500, 200]


async def test_retries_are_counted_in_calls() -> None:
    one, two = Moody("one", 500), Moody("two", 500)
    line = Line(one, two, policy=RetryPolicy(retries=3))
    assert (await line.ask()).status == 500
    assert asked([one, two]) == [3, 2]


async def test_what_the_policy_does_not_name_goes_to_the_client_and_does_not_count() -> None:
    one, two = Moody("one", 500, 500, 500, "down"), Moody("two")
    policy = RetryPolicy(retry_on=frozenset({503}), on_connection=False)
    line = Line(one, two, policy=policy, breaker=BreakerSettings(failures=1))
    assert [(await line.ask()).status for _ in range(3)] == [500, 500, 500]
    with pytest.raises(UpstreamError):
        await line.ask()
    assert two.asked == [] and line.health.out == 0


@pytest.mark.parametrize(
    ("value", "wait_s"), [("3", 3.0), ("0.2", 0.5), ("-1", 0.5), ("soon", 0.5), ("31", None), ("1e12", None)]
)
async def test_a_target_that_asks_to_wait_gets_that_time_within_reason(value: str, wait_s: float | None) -> None:
    one = Moody("one", reply(429, ("Retry-After", value)), 200)
    line = Line(one, policy=RetryPolicy(retries=1))
    answer = await line.ask()
    assert (answer.status, line.waits) == ((200, [wait_s]) if wait_s is not None else (429, []))


async def test_the_time_budget_ends_retries_and_waits() -> None:
    line = Line(Moody("one", 500), policy=RetryPolicy(retries=9, delay_s=4.0, max_delay_s=4.0, timeout_s=10.0))
    assert (await line.ask()).status == 500
    assert line.waits == [4.0, 4.0]


@pytest.mark.parametrize("header", ["x-llmproxy-timeout", "x-stainless-read-timeout", "X-Stainless-Timeout"])
async def test_a_client_gets_the_error_before_it_gives_up(header: str) -> None:
    line = Line(Moody("one", 500), policy=RetryPolicy(retries=9, delay_s=4.0, max_delay_s=4.0))
    assert (await line.ask(line.exchange((header, "10")))).status == 500
    assert line.waits == [4.0, 4.0]
    line.waits.clear()
    for garbage in ("-5", "0", "nan", "inf", "soon", "9" * 400):
        line.health.of("one", None, BreakerSettings(failures=10_000))
        await line.ask(line.exchange((header, garbage)))
    assert len(line.waits) == 6 * 9


async def test_a_call_that_hangs_is_given_up_when_the_time_is_over() -> None:
    one = Moody("one", "hang")
    line = Line(one, policy=RetryPolicy(timeout_s=0.01))
    exchange = line.exchange()
    with pytest.raises(UpstreamError) as caught:
        await line.ask(exchange)
    assert (caught.value.status, caught.value.code, exchange.calls[0].error) == (504, "timeout", "timeout")
    assert ("x-llmproxy-attempts", "1") in caught.value.headers


async def test_a_stream_without_content_in_time_fails() -> None:
    silent, two = Moody("one", "hang"), Moody("two", b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n')
    line = Line(silent, two, policy=RetryPolicy(first_token_s=0.01))
    answer = await line.ask(line.exchange(stream=True))
    assert b'"x"' in answer.body and asked([silent, two]) == [1, 1]


async def test_an_error_as_first_event_is_a_failure() -> None:
    error = b'data: {"error": {"message": "overloaded", "type": "server_error", "code": 503}}\n\n'
    one, two = Moody("one", error), Moody("two", b'data: {"choices": []}\n\n')
    line = Line(one, two)
    assert (await line.ask(line.exchange(stream=True))).headers["x-llmproxy-provider"] == "two"
    alone = Line(Moody("one", error))
    answer = await alone.ask(alone.exchange(stream=True))
    assert (answer.status, answer.body) == (200, error)


@pytest.mark.parametrize(
    ("status", "body", "next_one"),
    [
        (400, TOO_LONG, True),
        (413, b"", True),
        (404, b"", True),
        (400, b'{"error": {"message": "prompt is too long: 9 tokens", "type": "invalid_request_error"}}', True),
        (400, b'{"error": {"message": "bad", "code": "invalid_value"}}', False),
        (422, b"not json", False),
        (403, b"", False),
    ],
)
async def test_a_target_that_cannot_take_the_content_is_passed_over(status: int, body: bytes, next_one: bool) -> None:
    one, two = Moody("one", reply(status, body=body)), Moody("two")
    line = Line(one, two, policy=RetryPolicy(retries=2), breaker=BreakerSettings(failures=1))
    answer = await line.ask()
    assert answer.status == (200 if next_one else status)
    assert line.health.out == 0 and len(one.asked) == 1


async def test_a_target_that_refused_the_content_is_not_called_again() -> None:
    one, two = Moody("one", reply(400, body=TOO_LONG)), Moody("two", 500, 500, 200)
    line = Line(one, two, policy=RetryPolicy(retries=2))
    assert (await line.ask()).status == 200
    assert asked([one, two]) == [1, 3]


async def test_a_route_without_a_target_that_is_well_says_when_to_come_back() -> None:
    one = Moody("one", 500)
    line = Line(one, breaker=BreakerSettings(failures=2, recovery_s=30.0))
    for _ in range(2):
        assert (await line.ask()).status == 500
    line.now_s += 10.5
    with pytest.raises(ProxyError) as caught:
        await line.ask()
    assert (caught.value.status, caught.value.code) == (503, "no_target_available")
    assert ("Retry-After", "20") in caught.value.headers and len(one.asked) == 2


async def test_retries_stay_within_the_budget_of_the_program() -> None:
    one, two = Moody("one", 500), Moody("two", 500)
    line = Line(one, two, policy=RetryPolicy(retries=2), breaker=BreakerSettings(failures=10_000), jitter=0.0)
    for _ in range(1000):
        await line.ask()
    assert sum(asked([one, two])) <= 1200
    assert line.health.budget.refused > 0


async def test_a_thousand_clients_at_once_do_not_multiply_an_outage() -> None:
    one, two, three = (Moody(name, "slow failure") for name in ("one", "two", "three"))
    line = Line(one, two, three, policy=RetryPolicy(retries=2))
    line.failover.sleep = asyncio.sleep
    line.failover.jitter = lambda: 0.0
    answers = await asyncio.gather(*(line.ask() for _ in range(1000)), return_exceptions=True)
    assert {503 if isinstance(each, ProxyError) else getattr(each, "status", each) for each in answers} == {503}
    assert 1000 <= sum(asked([one, two, three])) <= 1200


async def test_each_target_is_called_once_in_a_pass_whatever_the_strategy_says() -> None:
    class Stubborn(Strategy):
        def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
            return [targets[0], targets[0], targets[1], targets[0]]

    one, two = Moody("one", 500), Moody("two", 500)
    line = Line(one, two, strategy=Stubborn())
    assert (await line.ask()).status == 500
    assert asked([one, two]) == [1, 1]


async def test_only_targets_that_take_the_request_are_called() -> None:
    one, two = Moody("one"), Moody("two", 500)
    line = Line(one, two)
    targets = (replace(line.targets[0], when=Condition(headers=(("x-tier", "gold"),))), line.targets[1])
    line.route = Route(name="m", targets=targets)
    assert (await line.ask(line.exchange(("X-Tier", "gold")))).status == 200
    assert (await line.ask()).status == 500
    assert asked([one, two]) == [1, 1]


async def test_memory_for_a_call_that_failed_is_released() -> None:
    big = Answer(status=503, headers=Headers(), stream=Pieces(*[b"x" * 1000] * 10))
    line = Line(Moody("one", big), Moody("two"), extra_body=(("a", b"1"),))
    exchange = line.exchange()
    line.budget.hold(exchange, 10)
    await line.ask(exchange)
    assert exchange.held_bytes == line.budget.used_bytes < 200


async def test_errors_of_calls_that_failed_keep_nothing_in_memory() -> None:
    errors: list[ProxyError] = []
    line = Line(Moody("one", "down"), Moody("two"))
    line.failover.attempts.make = _noting(line.failover.attempts.make, errors)  # type: ignore[method-assign]  # notes them
    await line.ask()
    assert [each.__traceback__ for each in errors] == [None]


def _noting(make: Any, errors: list[ProxyError]) -> Any:
    async def noted(*arguments: Any) -> Any:
        try:
            return await make(*arguments)
        except ProxyError as error:
            errors.append(error)
            raise

    return noted


async def test_a_body_that_streams_is_sent_once() -> None:
    one, two = Moody("one", "down"), Moody("two")
    line = Line(one, two, policy=RetryPolicy(retries=2))
    exchange = line.exchange()
    exchange.body = StreamedBody(stream=Pieces(b"x"), length=None)
    exchange.model = None
    with pytest.raises(UpstreamError):
        await line.ask(exchange)
    assert two.asked == []


async def test_a_request_that_is_wrong_is_nobodys_fault() -> None:
    one, two = Moody("one", BadRequest("no")), Moody("two")
    line = Line(one, two, breaker=BreakerSettings(failures=1))
    with pytest.raises(BadRequest):
        await line.ask()
    assert two.asked == [] and line.health.out == 0


async def test_a_request_waits_while_all_targets_are_at_their_limit() -> None:
    one = Moody("one", reply(200, *USED_UP), 200)
    line = Line(one)
    await line.ask()
    assert (await line.ask()).status == 200
    assert line.waits == [4.0] and line.health.lines.waiting == 0


async def test_a_wait_that_is_too_long_ends_as_an_honest_429_at_once() -> None:
    one = Moody("one", reply(200, *USED_UP))
    line = Line(one, policy=RetryPolicy(max_wait_s=3.0))
    await line.ask()
    line.now_s += 0.5
    with pytest.raises(ProxyError) as caught:
        await line.ask()
    headers = dict(caught.value.headers)
    assert (caught.value.status, headers["Retry-After"], headers["retry-after-ms"]) == (429, "4", "3500")
    assert line.waits == [] and line.health.lines.refused == 1 and line.health.lines.waiting == 0


async def test_configured_limits_are_kept_and_another_target_answers() -> None:
    one, two = Moody("one"), Moody("two")
    line = Line(one, two, limit=TargetLimit(rpm=2))
    for _ in range(4):
        await line.ask()
    assert asked([one, two]) == [2, 2]
    with pytest.raises(ProxyError) as caught:
        await line.ask()
    assert caught.value.status == 429 and 59 <= int(dict(caught.value.headers)["Retry-After"]) <= 61


async def test_a_place_is_free_again_when_its_exchange_ends_and_who_waits_gets_it() -> None:
    one = Moody("one")
    line = Line(one, limit=TargetLimit(concurrent=1))
    first = line.exchange()
    await line.ask(first)
    line.failover.pause = pause
    waiting = asyncio.get_running_loop().create_task(line.ask())
    await until_async(lambda: line.health.lines.waiting == 1, "a request in line")
    line.failover.finish(first)
    assert (await waiting).status == 200 and asked([one]) == [2]


async def test_a_client_that_leaves_leaves_the_line() -> None:
    line = Line(Moody("one", reply(200, *USED_UP)))
    await line.ask()
    line.failover.pause = pause
    tasks = [asyncio.get_running_loop().create_task(line.ask()) for _ in range(2)]
    await until_async(lambda: line.health.lines.waiting == 2, "two requests in line")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert line.health.lines.waiting == 0 and line.health.lines.is_empty("m")


async def test_a_client_that_leaves_between_calls_leaves_nothing_open() -> None:
    pieces = Pieces(*[b"x" * 70_000] * 2)
    line = Line(Moody("one", Answer(status=503, headers=Headers(), stream=pieces)), policy=RetryPolicy(retries=1))
    line.failover.sleep = asyncio.sleep
    exchange = line.exchange()
    exchange.budget = line.budget
    task = asyncio.get_running_loop().create_task(line.ask(exchange))
    await until_async(lambda: exchange.calls and exchange.calls[0].ended_s is not None, "the first call")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pieces.closed and exchange.held_bytes == 0 and line.targets[0].health.running == 0  # type: ignore[union-attr]


async def test_a_target_that_failed_is_called_again_though_others_cannot_take_the_content() -> None:
    one, two = Moody("one", 503, 200), Moody("two", 404)
    line = Line(one, two, policy=RetryPolicy(retries=2))
    assert (await line.ask()).status == 200
    assert asked([one, two]) == [2, 1]
