"""Request bodies that pass through: framing, back-pressure, answers and breaks while they are still being sent."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.body import StreamedBody
from llmproxy.errors import BadRequest, BrokenStream, ProxyError, UpstreamError
from llmproxy.upstream import pool as module
from llmproxy.upstream.connection import UpstreamConnection
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.connection import read_body
from tests.support.pooling import OK, ask, failure, fetch, left, origin_of, rest, take
from tests.support.provider import Call, Upstream
from tests.support.waiting import until_async

PIECE = b"p" * 65536


class Source:
    """A client's body: the pieces that the test puts in, an error that it raises there, or b"" at the end."""

    def __init__(self, *pieces: bytes | ProxyError) -> None:
        self._pieces: asyncio.Queue[bytes | ProxyError] = asyncio.Queue()
        self.put(*pieces)

    def put(self, *pieces: bytes | ProxyError) -> None:
        for piece in pieces:
            self._pieces.put_nowait(piece)

    async def read(self) -> bytes:
        piece = await self._pieces.get()
        if isinstance(piece, ProxyError):
            raise piece
        return piece

    def close(self) -> None:
        return


class Endless:
    """A client that always has more; `given` counts the bytes that were read of it."""

    given = 0

    async def read(self) -> bytes:
        self.given += len(PIECE)
        return PIECE

    def close(self) -> None:
        return


async def test_a_body_of_known_length_goes_on_without_chunks(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    body = StreamedBody(stream=Source(b"ab\0", b"\xffcd", b""), length=6)

    assert await fetch(made, ask(origin, "POST", body=body)) == b"ok"

    assert (upstream.only.value("content-length"), upstream.only.framing) == ("6", "length")
    assert upstream.only.body == b"ab\0\xffcd"


async def test_a_body_of_unknown_length_goes_on_in_chunks(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    body = StreamedBody(stream=Source(b"a", PIECE, b""), length=None)

    assert await fetch(made, ask(origin, "POST", body=body)) == b"ok"

    assert upstream.only.values("transfer-encoding") == ["chunked"]
    assert upstream.only.value("content-length") is None
    assert upstream.only.body == b"a" + PIECE


async def test_an_empty_body_is_told_as_one(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)

    for length in (None, 0):
        await fetch(made, ask(origin, "POST", body=StreamedBody(stream=Source(b""), length=length)))

    assert [request.framing for request in upstream.requests] == ["chunked", "length"]
    assert [request.body for request in upstream.requests] == [b"", b""]


async def test_a_connection_serves_again_after_an_upload(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)

    for length in (None, 4):
        body = StreamedBody(stream=Source(b"abcd", b""), length=length)
        assert await fetch(made, ask(origin, "POST", body=body)) == b"ok"

    assert len(upstream.connections) == 1


async def test_pieces_go_on_as_they_come(upstream: Upstream, made: Pool) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def tell(call: Call) -> None:
        for size in (3, 5):
            data = await call.connection.exactly(size)
            loop.call_soon_threadsafe(seen.put_nowait, data)
        await call.send(OK)

    upstream.next_early(tell)
    source = Source(b"one")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(
            fetch(made, ask(origin_of(upstream), "PUT", body=StreamedBody(stream=source, length=8)))
        )
        assert await seen.get() == b"one"
        source.put(b"three", b"")
        assert await seen.get() == b"three"

    assert asking.result() == b"ok"


async def test_a_provider_that_does_not_read_slows_the_client_down_and_can_be_left(
    upstream: Upstream, made: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[BaseException | None] = []

    class Watched(UpstreamConnection):
        def connection_lost(self, exc: BaseException | None) -> None:
            lost.append(exc)
            super().connection_lost(exc)

    monkeypatch.setattr(module, "UpstreamConnection", Watched)
    upstream.greeting = "ignore"
    client = Endless()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await made.open(ask(origin_of(upstream), "POST", body=StreamedBody(stream=client, length=None)))

    assert len(PIECE) < client.given < 32 * 1024 * 1024
    given = client.given
    await until_async(lambda: lost, "the connection to end with what could not be written")
    assert client.given == given


async def test_an_answer_may_come_before_the_upload_is_done(upstream: Upstream, made: Pool) -> None:
    refusal = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig"
    origin = origin_of(upstream)
    upstream.hold_early()
    source = Source(b"part")
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(made.open(ask(origin, "POST", body=StreamedBody(stream=source, length=1_000_000))))
        held = await take(upstream)
        held.send(refusal)

    answer = opening.result()
    assert (answer.status, await rest(answer)) == (413, b"big")
    await left(held.request.connection)
    held.done()
    assert await fetch(made, ask(origin)) == b"ok"


async def test_an_upload_goes_on_while_its_answer_streams(upstream: Upstream, made: Pool) -> None:
    async def converse(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
        await read_body(call.request)
        await call.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(call.request.body), call.request.body))

    origin = origin_of(upstream)
    upstream.next_early(converse)
    source = Source(b"first ")

    answer = await made.open(ask(origin, "POST", body=StreamedBody(stream=source, length=None)))
    assert answer.stream is not None
    assert await answer.stream.read() == b"begun"
    source.put(b"second", b"")

    assert await rest(answer) == b"first second"
    await fetch(made, ask(origin))
    assert len(upstream.connections) == 1


async def test_a_client_that_breaks_off_is_told_its_own_error_and_the_provider_sees_no_end(
    upstream: Upstream, made: Pool
) -> None:
    upstream.hold_early()
    source = Source(b"part")
    body = StreamedBody(stream=source, length=None)
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(failure(made, ask(origin_of(upstream), "POST", body=body)))
        held = await take(upstream)
        source.put(BadRequest("too slow", status=408, code="request_timeout"))

    assert (failing.result().status, failing.result().code) == (408, "request_timeout")
    await left(held.request.connection)
    held.done()
    assert not held.request.body


async def test_a_client_that_breaks_off_while_its_answer_streams_breaks_the_answer(
    upstream: Upstream, made: Pool
) -> None:
    upstream.hold_early()
    source = Source(b"part")
    body = StreamedBody(stream=source, length=100)
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(made.open(ask(origin_of(upstream, idle_s=None), "POST", body=body)))
        held = await take(upstream)
        held.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun")
    answer = opening.result()
    source.put(BadRequest("broken", code="invalid_framing"))

    with pytest.raises(BrokenStream):
        await rest(answer)

    answer.close()
    await left(held.request.connection)
    held.done()


async def test_the_first_byte_is_waited_for_from_the_end_of_the_upload(upstream: Upstream, made: Pool) -> None:
    upstream.hold()
    source = Source(b"part")
    request = ask(origin_of(upstream, first_byte_s=0.1), "POST", body=StreamedBody(stream=source, length=None))
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(failure(made, request))
        done, _ = await asyncio.wait((failing,), timeout=0.3)
        assert not done
        source.put(b"rest", b"")
        held = await take(upstream)

    error = failing.result()
    assert (error.status, error.code) == (504, "timeout")
    held.done()


async def test_a_provider_that_leaves_within_the_upload_is_a_502(upstream: Upstream, made: Pool) -> None:
    upstream.hold_early()
    body = StreamedBody(stream=Source(b"part"), length=100)
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(failure(made, ask(origin_of(upstream), "POST", body=body)))
        held = await take(upstream)
        held.rst()

    assert isinstance(failing.result(), UpstreamError)
    assert (failing.result().status, len(upstream.connections)) == (502, 1)


async def test_a_call_that_is_cancelled_stops_its_upload(upstream: Upstream, made: Pool) -> None:
    upstream.hold_early()
    client = Endless()
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(
            made.open(ask(origin_of(upstream), "POST", body=StreamedBody(stream=client, length=None)))
        )
        held = await take(upstream)
        opening.cancel()
    given = client.given

    await left(held.request.connection)
    held.done()
    assert client.given == given


async def test_a_provider_that_takes_nothing_is_given_up_after_the_idle_limit(upstream: Upstream, made: Pool) -> None:
    upstream.greeting = "ignore"
    body = StreamedBody(stream=Endless(), length=None)

    error = await failure(made, ask(origin_of(upstream, idle_s=0.1), "POST", body=body))

    assert (error.status, error.code) == (504, "timeout")
    assert "read nothing" in error.message
