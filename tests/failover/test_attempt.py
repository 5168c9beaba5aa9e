"""One call to one target: what the target has of its own, and how its answer is held."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from llmproxy.body import Body
from llmproxy.failover.attempt import first_error
from llmproxy.target import Target
from llmproxy.wire.compression import compress
from tests.support import vendors
from tests.support.exchanges import new_exchange
from tests.support.pooling import pool, rest
from tests.support.provider import Upstream, silence
from tests.support.proxy import CHAT, provider
from tests.support.targets import Line, Moody

RAW = b'{ "n":1.0,\n"model" :  "m" , "\xc3\xbc": [1 ,2],"messages": [], "service_tier":"auto" }'


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


async def test_a_target_adds_members_and_headers_and_leaves_all_other_bytes() -> None:
    one, two = Moody("one", 500), Moody("two")
    line = Line(one, two, extra_body=(("service_tier", b'"flex"'), ("x", b"1")), extra_headers=(("X-Tier", "a"),))
    exchange = new_exchange(CHAT, ("x-tier", "mine"), ("Accept", "*/*"), body=RAW)
    await line.ask(exchange)
    for request in (one.asked[0], two.asked[0]):
        assert request.held.raw == RAW.replace(b'"auto" }', b'"flex","x":1 }')
        assert dict(request.headers) == {"X-Tier": "a", "Accept": "*/*"}
    assert exchange.held.raw == RAW and exchange.headers["X-Tier"] == "mine"


async def test_a_compressed_body_gets_members_in_plain() -> None:
    one = Moody("one")
    exchange = new_exchange(
        CHAT, ("Content-Encoding", "gzip"), body=compress(b'{"model":"m"}', "gzip"), encoding="gzip"
    )
    exchange.model = "m"
    await Line(one, extra_body=(("x", b"1"),)).ask(exchange)
    body = one.asked[0].body
    assert isinstance(body, Body) and (body.raw, body.encoding) == (b'{"model":"m","x":1}', "")


async def test_a_target_has_its_own_time_limits(upstream: Upstream) -> None:
    upstream.next(silence)
    line = Line(Moody("two"))
    first = Target(
        provider=provider(upstream, "one"), timeouts=(("first_byte_s", 0.05),), health=line.targets[0].health
    )
    line.route = type(line.route)(name="m", targets=(first, *line.targets))
    async with pool() as made:
        line.failover.attempts._open = made.open
        answer = await line.ask()
    assert answer.headers["x-llmproxy-provider"] == "two"


async def test_translated_requests_get_the_members_in_the_dialect_of_the_target(upstream: Upstream) -> None:
    line = Line(Moody("unused"))
    target = Target(provider=provider(upstream, "one"), model="gpt-x", extra_body=(("seed", b"7"),))
    line.route = type(line.route)(name="m", targets=(target,))
    exchange = new_exchange("/v1/messages", body={"model": "m", "max_tokens": 9, "messages": []})
    exchange.route = line.route
    async with pool() as made:
        line.failover.attempts._open = made.open
        await rest(await line.ask(exchange))
    assert json.loads(upstream.only.body)["seed"] == 7


def test_the_error_that_a_stream_begins_with_is_read_in_its_dialect() -> None:
    exchange = new_exchange(CHAT, body=RAW)
    error = first_error(exchange, b'data: {"error": {"message": "m", "code": "rate_limit_exceeded"}}\n\n')
    assert error is not None and (error.status, error.code) == (429, "rate_limit_exceeded")
    assert first_error(exchange, b'data: {"choices": []}\n\n') is None
