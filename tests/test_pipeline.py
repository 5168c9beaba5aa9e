"""From an exchange to an answer that is certain: routes, targets, failover and the commit point."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.body import StreamedBody
from llmproxy.errors import BadRequest, ComponentFailed, Overloaded, ProxyError, UpstreamError
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.failover.commit_point import EVENT_BYTES, PLAIN_BYTES
from llmproxy.pipeline import Pipeline
from llmproxy.route import Route
from llmproxy.routing.router import Router
from llmproxy.target import Target
from llmproxy.wire.compression import compress
from tests.support import vendors
from tests.support.exchanges import new_exchange
from tests.support.pieces import Pieces
from tests.support.pipelines import pipeline_over
from tests.support.pooling import left, pool, rest
from tests.support.provider import Gate, Reply, Script, Upstream, drop, reset, silence
from tests.support.proxy import CHAT, Scripted, provider

SSE = "text/event-stream"
EVENT = b'data: {"n": 1}\n\n'


@dataclass
class Line:
    """Two providers on sockets behind one route, `smart`, and the pipeline before them."""

    first: Upstream
    second: Upstream
    pipeline: Pipeline
    budget: MemoryBudget = field(default_factory=lambda: MemoryBudget(1 << 30))

    async def answer(self, exchange: Exchange) -> Answer:
        return await self.pipeline.answer(exchange, self.pipeline.router.locate(exchange.method, exchange.full_path))


@pytest.fixture
def first() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


@pytest.fixture
def second() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


@pytest.fixture
async def line(first: Upstream, second: Upstream) -> AsyncIterator[Line]:
    budget = MemoryBudget(1 << 30)
    one = provider(first, "one", timeouts={"first_byte": 0.2, "idle": 0.2})
    two = provider(second, "two")
    targets = (Target(provider=one), Target(provider=two, model="second-model"))
    router = Router([one, two], [Route(name="smart", targets=targets), Route(name="solo", targets=targets[:1])])
    async with pool() as made:
        yield Line(
            first=first,
            second=second,
            pipeline=pipeline_over(router, made.open, budget=budget),
            budget=budget,
        )


def chat(**members: object) -> Exchange:
    return new_exchange(CHAT, body={"model": "smart", "messages": [], **members})


def stream_of(*pieces: bytes | Gate, end: Any = "keep", **headers: str) -> Reply:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(headers=(*vendors.SSE, *pairs), pieces=pieces, framing="chunked", end=end)


async def test_a_good_answer_is_the_first_targets(line: Line) -> None:
    exchange = chat()

    answer = await line.answer(exchange)

    assert json.loads(await rest(answer))["choices"][0]["message"]["content"] == vendors.TEXT
    assert not line.second.requests
    [attempt] = exchange.calls
    assert (attempt.target.provider.name, attempt.model, attempt.status, attempt.error) == ("one", "smart", 200, None)
    assert attempt.url == f"{line.first.url}{CHAT}"
    assert attempt.ended_s is not None and attempt.ended_s >= attempt.started_s
    assert exchange.route is not None and exchange.route.name == "smart"
    assert exchange.target is not None and exchange.target.provider.name == "one"


FAILURES: dict[str, tuple[Script | Reply, int | None, str | None]] = {
    "closed": (drop, None, "upstream_error"),
    "reset": (reset, None, "upstream_error"),
    "silent": (silence, None, "timeout"),
    "garbage": (Reply(before=b"garbage\r\n\r\n"), None, "bad_upstream_answer"),
    **{str(status): (vendors.failure(status, "X"), status, None) for status in (408, 429, 500, 502, 503, 504, 529)},
    "broken in a small body": (Reply(pieces=[b'{"half'], length=100, end="cut"), 200, "upstream_stream_broken"),
    "broken before the first event": (stream_of(b"data: {", end="cut"), 200, "upstream_stream_broken"),
    "reset before the first event": (stream_of(b": only a comment\n\n", end="reset"), 200, "upstream_stream_broken"),
    "silent before the first event": (stream_of(b"data: {", Gate()), 200, "timeout"),
    "silent in a small body": (Reply(pieces=[b"{", Gate()], length=100), 200, "timeout"),
}


@pytest.mark.parametrize("how", FAILURES)
async def test_the_next_target_takes_over_before_the_commit_point(line: Line, how: str) -> None:
    script, status, error = FAILURES[how]
    line.first.next(script)
    exchange = chat(stream=True)

    answer = await line.answer(exchange)

    assert await rest(answer) == b"".join(vendors.chat_frames("second-model"))
    assert len(line.first.requests) == len(line.second.requests) == 1
    assert [attempt.target.provider.name for attempt in exchange.calls] == ["one", "two"]
    failed, good = exchange.calls
    assert (failed.status, failed.error) == (status, error)
    assert (good.status, good.error, good.model) == (200, None, "second-model")
    assert failed.ended_s is not None and failed.ended_s <= good.started_s
    assert exchange.target is not None and exchange.target.provider.name == "two"


async def test_a_target_that_nobody_listens_at_is_passed_over(line: Line, unused_tcp_port: int) -> None:
    line.first.port = unused_tcp_port
    gone, two = provider(line.first, "gone"), provider(line.second, "two")
    routes = [Route(name="smart", targets=(Target(provider=gone), Target(provider=two)))]
    line.pipeline.router = Router([gone, two], routes)
    exchange = chat()

    answer = await line.answer(exchange)

    assert answer.status == 200
    assert [(attempt.target.provider.name, attempt.error) for attempt in exchange.calls] == [
        ("gone", "upstream_error"),
        ("two", None),
    ]
    await rest(answer)


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422, 501])
async def test_what_another_target_would_say_too_is_given_at_once(line: Line, status: int) -> None:
    line.first.next(vendors.failure(status, "X"))

    answer = await line.answer(chat())

    assert (answer.status, json.loads(await rest(answer))["error"]["message"]) == (status, f"vendor says {status}")
    assert not line.second.requests


async def test_the_last_targets_answer_is_given_as_it_is(line: Line) -> None:
    line.first.next(vendors.failure(500, "X"))
    line.second.next(vendors.failure(429, "Slow Down", ("Retry-After", "7"), ("X-Vendor", "1")))
    exchange = chat()

    answer = await line.answer(exchange)

    assert (answer.status, answer.reason, answer.error) == (429, "Slow Down", None)
    assert (answer.headers["Retry-After"], answer.headers["X-Vendor"]) == ("7", "1")
    assert json.loads(await rest(answer))["error"]["message"] == "vendor says 429"
    assert [attempt.status for attempt in exchange.calls] == [500, 429]


async def test_the_last_targets_error_is_raised(line: Line) -> None:
    line.first.next(vendors.failure(429, "X"))
    line.second.next(drop)
    exchange = chat()

    with pytest.raises(UpstreamError) as caught:
        await line.answer(exchange)

    assert caught.value.status == 502
    assert [attempt.error for attempt in exchange.calls] == [None, "upstream_error"]


async def test_an_answer_that_is_passed_over_leaves_no_call_open(line: Line) -> None:
    line.first.next(Reply(status=503, reason="X", pieces=[b"x" * PLAIN_BYTES, Gate()], framing="chunked"))

    await rest(await line.answer(chat()))

    await left(line.first.connections[0])


async def test_after_the_first_event_nobody_takes_over(line: Line) -> None:
    line.first.next(stream_of(EVENT, end="cut"))
    exchange = chat(stream=True)

    answer = await line.answer(exchange)

    assert answer.body == EVENT
    with pytest.raises(UpstreamError):
        await rest(answer)
    assert not line.second.requests
    assert [attempt.error for attempt in exchange.calls] == [None]


async def test_after_64_kb_of_a_plain_body_nobody_takes_over(line: Line) -> None:
    line.first.next(Reply(pieces=[b"x" * PLAIN_BYTES], length=10 * PLAIN_BYTES, end="cut"))

    answer = await line.answer(chat())

    assert len(answer.body) >= PLAIN_BYTES or answer.stream is not None
    with pytest.raises(UpstreamError):
        await rest(answer)
    assert not line.second.requests


@pytest.mark.parametrize(
    "before",
    [b"", b": wait\n\n: wait\r\n\r\n", b"\xef\xbb\xbf", b"retry: 10\n\n", b"id: 7\n\n"],
    ids=["nothing", "comments", "a mark", "retry", "id"],
)
@pytest.mark.parametrize("event", [b"data: x\n\n", b"event: e\r\ndata: x\r\n\r\n", b"data\r\r"])
async def test_a_stream_is_certain_with_its_first_event_that_carries_data(
    line: Line, before: bytes, event: bytes
) -> None:
    gates = [Gate(), Gate()]
    line.first.next(stream_of(*([before] if before else []), gates[0], event[:-2], gates[1], event[-2:], Gate()))
    async with asyncio.TaskGroup() as group:
        answering = group.create_task(line.answer(chat(stream=True)))
        for gate in gates:
            done, _ = await asyncio.wait((answering,), timeout=0.03)
            assert not done
            gate.open()

    answer = answering.result()
    assert answer.body == before + event
    assert answer.stream is not None
    answer.close()


async def test_an_event_that_is_larger_than_what_may_be_held_back_commits_all_the_same(line: Line) -> None:
    line.first.next(stream_of(b"data: " + b"x" * EVENT_BYTES, Gate()))

    answer = await line.answer(chat(stream=True))

    assert EVENT_BYTES <= len(answer.body) < 2 * EVENT_BYTES
    answer.close()


async def test_a_compressed_stream_is_certain_with_its_first_bytes(line: Line) -> None:
    packed = compress(EVENT, "gzip")
    line.first.next(stream_of(packed[:5], Gate(), Content_Encoding="gzip"))

    answer = await line.answer(chat(stream=True))

    assert answer.body == packed[:5]
    answer.close()


async def test_a_stream_that_ends_without_an_event_is_given_as_it_is(line: Line) -> None:
    line.first.next(stream_of(b": nothing to say\n\n"))

    answer = await line.answer(chat(stream=True))

    assert (answer.body, answer.stream) == (b": nothing to say\n\n", None)
    assert not line.second.requests


async def test_a_small_plain_body_is_whole_and_a_large_one_streams(line: Line) -> None:
    line.first.next(Reply(pieces=[b"x"] * 1000, framing="chunked"), Reply(pieces=[b"x" * 10 * PLAIN_BYTES]))

    small = await line.answer(chat())
    assert (small.body, small.stream) == (b"x" * 1000, None)

    large = await line.answer(chat())
    assert large.stream is not None
    assert PLAIN_BYTES <= len(large.body) < 10 * PLAIN_BYTES
    assert await rest(large) == b"x" * 10 * PLAIN_BYTES


async def test_each_target_gets_its_own_name_of_the_model_in_bytes_that_are_else_untouched(line: Line) -> None:
    raw = b'{ "n":1.0,\n"model" :  "smart" , "\xc3\xbc": [1 ,2],"messages": [] }'
    line.first.next(drop)

    await rest(await line.answer(new_exchange(CHAT, body=raw)))

    assert line.first.only.body == raw
    assert line.second.only.body == raw.replace(b"smart", b"second-model")


async def test_a_target_without_a_name_of_its_own_gets_the_clients_again(line: Line) -> None:
    one, two = provider(line.first, "one"), provider(line.second, "two")
    targets = (Target(provider=one, model="renamed"), Target(provider=two))
    line.pipeline.router = Router([one, two], [Route(name="smart", targets=targets)])
    line.first.next(drop)
    raw = b'{"messages": [],  "model":"smart"}'

    await rest(await line.answer(new_exchange(CHAT, body=raw)))

    assert line.first.only.body == raw.replace(b"smart", b"renamed")
    assert line.second.only.body == raw


async def test_a_compressed_body_is_renamed_in_plain_and_else_goes_on_as_it_came(line: Line) -> None:
    raw = b'{"messages": [],  "model":"smart"}'
    line.first.next(drop)
    exchange = new_exchange(CHAT, ("Content-Encoding", "zstd"), body=compress(raw, "zstd"), encoding="zstd")
    exchange.model = "smart"

    await rest(await line.answer(exchange))

    assert (line.first.only.body, line.first.only.value("content-encoding")) == (compress(raw, "zstd"), "zstd")
    assert line.second.only.body == raw.replace(b"smart", b"second-model")
    assert line.second.only.value("content-encoding") is None


async def test_a_name_below_a_prefix_is_sent_as_it_stands(line: Line) -> None:
    exchange = new_exchange(CHAT, prefix="/two", body={"model": "smart"})

    await rest(await line.answer(exchange))

    assert json.loads(line.second.only.body)["model"] == "smart"
    assert not line.first.requests


async def test_a_body_that_passes_through_is_sent_once_to_the_first_target(line: Line) -> None:
    class Fixed(Router):
        def choose(self, place: object, model: str | None, wanted: str | None = None) -> Route:
            return Route(name="smart", targets=tuple(Target(provider=each) for each in (one, two)))

    one, two = provider(line.first, "one"), provider(line.second, "two")
    line.pipeline.router = Fixed([one, two])
    line.first.next(vendors.failure(503, "X"))
    exchange = new_exchange("/v1/files")
    exchange.body = StreamedBody(stream=Pieces(b"once"), length=None)

    answer = await line.answer(exchange)
    await rest(answer)

    assert answer.status == 503
    assert line.first.only.body == b"once"
    assert not line.second.requests


def own(line: Line, *says: Answer | Exception) -> list[Scripted]:
    """Puts providers that say this behind the route `smart`."""
    places = [Scripted(f"own{number}", each) for number, each in enumerate(says)]
    targets = tuple(Target(provider=each, model=each.name) for each in places)
    line.pipeline.router = Router(places, [Route(name="smart", targets=targets)])
    return places


def fine() -> Answer:
    return Answer(status=200, headers=Headers(), body=b"{}")


@pytest.mark.parametrize(
    "failure",
    [UpstreamError("gone"), ProxyError("busy", status=503, code="busy", retryable=True)],
)
async def test_a_provider_of_ones_own_that_fails_retryably_is_passed_over(line: Line, failure: ProxyError) -> None:
    places = own(line, failure, fine())
    exchange = chat()

    assert (await line.answer(exchange)).status == 200

    assert [each.asked for each in places] == [["own0"], ["own1"]]
    assert [attempt.error for attempt in exchange.calls] == [failure.code, None]
    assert [attempt.url for attempt in exchange.calls] == ["", ""]


@pytest.mark.parametrize("failure", [BadRequest("no"), Overloaded("full"), RuntimeError("a mistake")])
async def test_a_failure_that_others_would_repeat_is_raised_at_once(line: Line, failure: Exception) -> None:
    places = own(line, failure, fine())

    with pytest.raises(type(failure) if isinstance(failure, ProxyError) else ComponentFailed):
        await line.answer(chat())

    assert places[1].asked == []


async def test_what_is_held_of_an_answer_is_counted_for_the_exchange(line: Line) -> None:
    first, second = chat(), chat()

    own(line, Answer(status=200, headers=Headers(), stream=Pieces(b"x" * 300, b"y" * 200)))
    assert (await line.answer(first)).body == b"x" * 300 + b"y" * 200
    assert (first.held_bytes, line.budget.used_bytes) == (500, 500)

    own(line, Answer(status=200, headers=Headers({"Content-Type": SSE}), stream=Pieces(EVENT, EVENT)))
    assert (await line.answer(second)).body == EVENT
    assert (second.held_bytes, line.budget.used_bytes) == (len(EVENT), 500 + len(EVENT))


@pytest.mark.parametrize("kind", ["application/json", SSE])
async def test_more_than_may_be_held_is_refused_and_the_answer_closed(line: Line, kind: str) -> None:
    line.budget.limit_bytes = 1000
    stream = Pieces(b"x" * 900, b"y" * 900)
    own(line, Answer(status=200, headers=Headers({"Content-Type": kind}), stream=stream), fine())
    exchange = chat()

    with pytest.raises(Overloaded):
        await line.answer(exchange)

    assert [attempt.error for attempt in exchange.calls] == ["overloaded"]
    assert stream.closed == 1


async def test_a_call_that_is_cancelled_is_closed_wherever_it_is(line: Line) -> None:
    for reply in (silence, stream_of(b"data: ", Gate())):
        line.first.next(reply)
        exchange = chat(stream=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await line.answer(exchange)
        assert [attempt.ended_s is not None for attempt in exchange.calls] == [True]
        assert not line.second.requests

    await left(line.first.connections[0])


async def test_an_unknown_model_is_refused_before_anybody_is_asked(line: Line) -> None:
    with pytest.raises(BadRequest) as caught:
        await line.answer(new_exchange(CHAT, body={"model": "nobody"}))

    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert not line.first.requests


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"model": "smart", "messages":', "The body is not valid JSON: it ends too early", "invalid_json"),
        (b"[1]", "The body must be a JSON object, not an array", "invalid_json"),
        (b'{"model": 5}', "model must be a string, not a number", "invalid_value"),
        (b"{}", "The request has no model. Add the field `model`", "invalid_request"),
    ],
)
async def test_a_body_without_a_model_is_refused_with_the_reason(
    line: Line, body: bytes, message: str, code: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await line.answer(new_exchange(CHAT, body=body))
    assert (caught.value.status, caught.value.code, caught.value.message) == (400, code, message)
