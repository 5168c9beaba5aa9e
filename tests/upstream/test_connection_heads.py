"""Heads of answers: how long and how large they may be, and what follows an answer and is none of it."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.errors import BrokenStream
from llmproxy.upstream.connection import MAX_HEAD_BYTES
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.pooling import HEAD, OK, ask, begun, failure, fetch, left, origin_of, rest, take
from tests.support.provider import Call, Upstream
from tests.support.waiting import PATIENCE_S

LIMIT_S = 0.1


@pytest.mark.parametrize(
    "drop",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    ],
)
@pytest.mark.parametrize("endless", [True, False])
async def test_interim_answers_do_not_put_off_the_first_byte(
    upstream: Upstream, made: Pool, drop: bytes, endless: bool
) -> None:
    async def script(call: Call) -> None:
        await call.send(drop)
        while endless and not call.connection.left.is_set():
            await call.send(drop)
            await asyncio.sleep(LIMIT_S / 20)
        await call.connection.left.wait()

    upstream.next(script)
    async with asyncio.timeout(PATIENCE_S):
        error = await failure(made, ask(origin_of(upstream, first_byte_s=LIMIT_S)))

    assert (error.status, error.code) == (504, "timeout")


async def test_a_head_that_trickles_does_not_put_off_the_first_byte(upstream: Upstream, made: Pool) -> None:
    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\n")
        while not call.connection.left.is_set():
            await call.send(b"X: y\r\n")
            await asyncio.sleep(LIMIT_S / 20)

    upstream.next(script)
    async with asyncio.timeout(PATIENCE_S):
        error = await failure(made, ask(origin_of(upstream, first_byte_s=LIMIT_S)))

    assert (error.status, error.code) == (504, "timeout")


@pytest.mark.parametrize(
    "flood", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 60_000 + b"\r\n") * 10]
)
async def test_a_head_is_bounded_as_a_whole(upstream: Upstream, made: Pool, flood: bytes) -> None:
    async def script(call: Call) -> None:
        await call.send(flood * (MAX_HEAD_BYTES // len(flood) + 1))
        await call.connection.left.wait()

    upstream.next(script)
    async with asyncio.timeout(PATIENCE_S):
        error = await failure(made, ask(origin_of(upstream, first_byte_s=None)))

    assert (error.status, error.code) == (502, "bad_upstream_answer")


async def test_trailers_are_bounded_as_a_whole(upstream: Upstream, made: Pool) -> None:
    upstream.hold()
    answer, held = await begun(made, upstream, origin_of(upstream), HEAD + b"3\r\nabc\r\n0\r\n")
    assert answer.stream is not None and await answer.stream.read() == b"abc"
    for _ in range(MAX_HEAD_BYTES // 60_000 + 2):
        held.send(b"X: " + b"y" * 60_000 + b"\r\n")

    with pytest.raises(BrokenStream):
        await answer.stream.read()

    await left(held.request.connection)
    answer.close()
    held.done()


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (b"HTTP/1.1 204 No Content\r\n", b"", 204),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n", b"", 204),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", b"", 304),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n", b"", 304),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", b"ok", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", b"", 200),
        (b"HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 2\r\n", b"ok", 500),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", b"2\r\nok\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n", b"ok", 200),
    ],
)
@pytest.mark.parametrize("surplus", [b'{"error": 1}' * 1000, OK])
@pytest.mark.parametrize("cut", [0, 20])
async def test_bytes_behind_an_answer_are_dropped_with_its_connection(
    upstream: Upstream, made: Pool, head: bytes, body: bytes, status: int, surplus: bytes, cut: int
) -> None:
    origin = origin_of(upstream)
    upstream.hold()
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(made.open(ask(origin)))
        held = await take(upstream)
        sent = head + b"\r\n" + body + surplus
        if cut:
            held.send(sent[:cut])
            await asyncio.sleep(0.01)
        held.send(sent[cut:])

    answer = opening.result()
    expected = b"ok" if body else b""
    assert (answer.status, await rest(answer)) == (status, expected)
    await left(held.request.connection)
    held.done()
    assert await fetch(made, ask(origin)) == b"ok"
    assert len(upstream.connections) == 2


async def test_a_body_of_a_head_request_is_dropped_with_its_connection(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    upstream.hold()
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(made.open(ask(origin, "HEAD")))
        held = await take(upstream)
        held.send(OK)

    answer = opening.result()
    assert (answer.status, answer.length, await rest(answer)) == (200, 2, b"")
    await left(held.request.connection)
    held.done()
    assert await fetch(made, ask(origin)) == b"ok"


@pytest.mark.parametrize("header", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
async def test_a_204_that_announces_a_body_serves_no_other_exchange(
    upstream: Upstream, made: Pool, header: bytes
) -> None:
    upstream.hold()
    answer, held = await begun(
        made, upstream, origin_of(upstream), b"HTTP/1.1 204 No Content\r\n" + header + b"\r\n\r\n"
    )

    assert (answer.status, await rest(answer)) == (204, b"")
    await left(held.request.connection)
    held.done()


async def test_a_304_that_tells_a_length_keeps_its_connection(upstream: Upstream, made: Pool) -> None:
    upstream.hold()
    origin = origin_of(upstream)
    answer, held = await begun(made, upstream, origin, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")
    held.done()

    assert (answer.status, answer.length, await rest(answer)) == (304, 5, b"")
    assert await fetch(made, ask(origin)) == b"ok"
    assert len(upstream.connections) == 1
