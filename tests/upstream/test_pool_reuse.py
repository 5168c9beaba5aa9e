"""Connections that wait in the pool: which serve again, which are replaced, and when a request is sent once more."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.body import Body, StreamedBody
from llmproxy.errors import UpstreamError
from llmproxy.upstream import pool as module
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.pieces import Pieces
from tests.support.pooling import OK, ask, failure, fetch, left, origin_of, rest, take
from tests.support.provider import Call, Script, Upstream, drop, reset


def saying(data: bytes, script: Script) -> Script:
    """Script: say `data`, then go on as `script` does."""

    async def say(call: Call) -> None:
        await call.send(data)
        await script(call)

    return say


async def test_a_connection_that_was_closed_while_idle_is_replaced(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    await fetch(made, ask(origin))
    await asyncio.to_thread(upstream.close_idle)

    assert await fetch(made, ask(origin, "POST", body=Body(b"{}"))) == b"ok"

    assert [request.body for request in upstream.requests] == [b"", b"{}"]


@pytest.mark.parametrize("ending", [drop, reset])
async def test_a_connection_that_ends_at_its_reuse_is_replaced_once(
    upstream: Upstream, made: Pool, ending: Script
) -> None:
    origin = origin_of(upstream)
    await fetch(made, ask(origin))
    upstream.next(ending)

    assert await fetch(made, ask(origin, "POST", body=Body(b"{}"))) == b"ok"

    assert [request.body for request in upstream.requests] == [b"", b"{}", b"{}"]
    assert upstream.requests[1].connection is upstream.requests[0].connection
    assert upstream.requests[2].connection is not upstream.requests[0].connection


@pytest.mark.parametrize("ending", [drop, reset])
async def test_the_replacement_is_a_fresh_connection_and_the_last(
    upstream: Upstream, made: Pool, ending: Script
) -> None:
    origin = origin_of(upstream)
    upstream.hold()
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(fetch(made, ask(origin)))
        held = await take(upstream)
        await fetch(made, ask(origin))
        held.send(OK)
        held.done()
        await slow
    assert len(upstream.connections) == 2  # both wait now
    upstream.next(ending, ending)

    with pytest.raises(UpstreamError) as caught:
        await made.open(ask(origin))

    assert (caught.value.status, len(upstream.requests), len(upstream.connections)) == (502, 4, 3)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 2",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    ],
)
@pytest.mark.parametrize("ending", [drop, reset])
async def test_what_was_answered_in_part_is_never_sent_again(
    upstream: Upstream, made: Pool, said: bytes, ending: Script
) -> None:
    origin = origin_of(upstream)
    await fetch(made, ask(origin))
    upstream.hold()
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(failure(made, ask(origin, "POST", body=Body(b"{}"))))
        held = await take(upstream)
        held.send(said)
        await _settle()
        held.fin() if ending is drop else held.rst()

    assert opening.result().status == 502
    assert len(upstream.requests) == 2


async def test_a_body_that_passed_through_is_never_sent_again(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    await fetch(made, ask(origin))
    upstream.next(drop)
    body = StreamedBody(stream=Pieces(b"once"), length=4)

    with pytest.raises(UpstreamError) as caught:
        await made.open(ask(origin, "POST", body=body))

    assert (caught.value.status, caught.value.replayable) == (502, False)
    assert [request.body for request in upstream.requests] == [b"", b"once"]


async def test_a_timeout_on_a_pooled_connection_is_no_reason_to_ask_again(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream, first_byte_s=0.1)
    await fetch(made, ask(origin))
    upstream.hold()

    with pytest.raises(UpstreamError) as caught:
        await made.open(ask(origin))

    assert (caught.value.status, len(upstream.requests)) == (504, 2)
    (await take(upstream)).done()


UNASKED = {
    "whole": OK,
    "head": OK[:-2],
    "408": b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
    "part of a head": OK[:10],
    "a byte": b"H",
    "garbage": b"garbage",
}


@pytest.mark.parametrize(
    ("unasked", "at_once"),
    [*((each, False) for each in UNASKED), *((each, True) for each in ("whole", "head", "408"))],
)
async def test_a_connection_on_which_something_came_unasked_is_not_used_again(
    upstream: Upstream, made: Pool, unasked: str, at_once: bool
) -> None:
    origin = origin_of(upstream)
    upstream.hold()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(fetch(made, ask(origin, target="/first")))
        held = await take(upstream)
        held.send(OK + UNASKED[unasked] if at_once else OK)
    assert first.result() == b"ok"
    if not at_once:
        held.send(UNASKED[unasked])
        await _settle()
    upstream.next(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine", _nothing))
    held.done()

    assert await fetch(made, ask(origin, target="/second")) == b"mine"

    assert upstream.last.connection is not held.request.connection


async def _nothing(call: Call) -> None:
    return


async def _settle() -> None:
    """Let what was sent on loopback reach the protocol: the bytes are in its socket when `send` is back."""
    for _ in range(3):
        await asyncio.to_thread(lambda: None)


@pytest.mark.parametrize(
    "header",
    [b"Connection: close\r\n", b"Connection: foo, Close\r\n", b"connection: keep-alive\r\nConnection: close\r\n"],
)
async def test_a_connection_that_the_provider_will_close_is_not_used_again(
    upstream: Upstream, made: Pool, header: bytes
) -> None:
    origin = origin_of(upstream)
    upstream.next(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + header + b"\r\nok", _nothing))

    answer = await made.open(ask(origin))

    assert (await rest(answer), "connection" in answer.headers) == (b"ok", False)
    await left(upstream.connections[0])
    assert await fetch(made, ask(origin)) == b"ok"
    assert len(upstream.connections) == 2


async def test_http_1_0_answers_are_taken_and_end_their_connection(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    upstream.next(saying(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", _nothing))

    assert await fetch(made, ask(origin)) == b"ok"

    await left(upstream.connections[0])


async def test_the_newest_connection_serves_first_and_those_that_wait_too_long_are_closed(
    upstream: Upstream, made: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POOLED_S", 0.05)
    origin = origin_of(upstream)
    upstream.hold()
    async with asyncio.TaskGroup() as group:
        group.create_task(fetch(made, ask(origin)))
        held = await take(upstream)
        await fetch(made, ask(origin))
        held.send(OK)
        held.done()
    await fetch(made, ask(origin))
    assert upstream.last.connection is held.request.connection  # it came back last

    for connection in upstream.connections:
        await left(connection)
    assert await fetch(made, ask(origin)) == b"ok"
    assert len(upstream.connections) == 3
