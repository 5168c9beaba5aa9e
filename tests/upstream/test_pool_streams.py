"""Answers that take their time: cuts, time limits, slow readers, cancellation."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from llmproxy.errors import BrokenStream, UpstreamError
from llmproxy.target import Origin, Timeouts
from llmproxy.upstream.pool import ResponseStream
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.loop_clock import LoopClock
from tests.support.pooling import HEAD, ask, begun, fetch, left, origin_of, rest, take
from tests.support.provider import Call, Gate, Reply, Upstream, silence
from tests.support.waiting import PATIENCE_S, until_async

LIMIT_S = 0.1


async def test_pieces_arrive_as_they_are_sent(upstream: Upstream, made: Pool) -> None:
    gates = [Gate(), Gate()]
    pieces: list[bytes | Gate] = [b"one", gates[0], b"two", gates[1], b"three"]
    upstream.next(Reply(pieces=pieces, framing="chunked"))

    answer = await made.open(ask(origin_of(upstream)))
    assert answer.stream is not None
    for expected, gate in ((b"one", gates[0]), (b"two", gates[1])):
        assert await answer.stream.read() == expected
        gate.open()

    assert await rest(answer) == b"three"


async def test_ten_thousand_chunks_are_all_there(upstream: Upstream, made: Pool) -> None:
    pieces = [b"data: %d\n\n" % number for number in range(10_000)]
    upstream.next(Reply(pieces=pieces, framing="chunked"))

    assert await fetch(made, ask(origin_of(upstream))) == b"".join(pieces)


async def test_trailers_and_chunk_extensions_are_dropped_cleanly(upstream: Upstream, made: Pool) -> None:
    async def extended(call: Call) -> None:
        await call.send(HEAD + b'2;name="v;\\" w"\r\nok\r\n0;last\r\nX-Trailer: 1\r\nX-More: 2\r\n\r\n')

    origin = origin_of(upstream)
    upstream.next(extended)

    answer = await made.open(ask(origin))

    assert await rest(answer) == b"ok"
    assert "X-Trailer" not in answer.headers
    await fetch(made, ask(origin))
    assert len(upstream.connections) == 1


async def test_compressed_bodies_stay_as_they_are(upstream: Upstream, made: Pool) -> None:
    packed = gzip.compress(b"hello" * 1000)
    upstream.next(Reply(headers=(("Content-Encoding", "gzip"),), pieces=[packed]))

    answer = await made.open(ask(origin_of(upstream)))

    assert (answer.headers["Content-Encoding"], answer.length, await rest(answer)) == ("gzip", len(packed), packed)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(pieces=[b"abc"], length=10, end="cut"),
        Reply(pieces=[b"abc"], length=10, end="reset"),
        Reply(pieces=[b"abc"], framing="chunked", end="cut"),
        Reply(pieces=[b"abc"], framing="chunked", end="reset"),
    ],
    ids=["length cut", "length reset", "chunked cut", "chunked reset"],
)
async def test_a_body_that_ends_too_early_is_broken(upstream: Upstream, made: Pool, reply: Reply) -> None:
    gate = Gate()
    upstream.next(Reply(pieces=[*reply.pieces, gate], length=reply.length, framing=reply.framing, end=reply.end))
    answer = await made.open(ask(origin_of(upstream)))
    assert answer.stream is not None
    assert await answer.stream.read() == b"abc"
    gate.open()

    with pytest.raises(BrokenStream) as caught:
        await answer.stream.read()

    assert (caught.value.status, caught.value.code) == (502, "upstream_stream_broken")
    answer.close()


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_what_arrived_before_a_break_is_read_before_it_is_said(upstream: Upstream, made: Pool, end: Any) -> None:
    gate = Gate()
    upstream.next(Reply(pieces=[b"abc", gate, b"def", b"ghi"], framing="chunked", end=end))
    answer = await made.open(ask(origin_of(upstream)))
    assert isinstance(answer.stream, ResponseStream) and await answer.stream.read() == b"abc"
    gate.open()
    payload = answer.stream._payload
    await until_async(lambda: payload.exception() is not None, "a break, while nobody reads")

    assert await answer.stream.read() == b"defghi"
    with pytest.raises(BrokenStream):
        await answer.stream.read()


async def test_a_body_that_is_cut_together_with_its_last_bytes_is_broken_too(upstream: Upstream, made: Pool) -> None:
    upstream.next(Reply(pieces=[b"abc"], framing="chunked", end="cut"))

    with pytest.raises(BrokenStream):
        await fetch(made, ask(origin_of(upstream)))


async def test_a_silent_provider_is_a_504(upstream: Upstream, made: Pool) -> None:
    upstream.next(silence)

    with pytest.raises(UpstreamError, match=r"0\.1 s") as caught:
        await made.open(ask(origin_of(upstream, first_byte_s=LIMIT_S)))

    assert (caught.value.status, caught.value.code) == (504, "timeout")
    await left(upstream.connections[0])


async def test_the_whole_call_has_a_limit_before_the_head(upstream: Upstream, made: Pool) -> None:
    upstream.next(silence)

    with pytest.raises(UpstreamError, match=r"longer than 0\.1 s") as caught:
        await made.open(ask(origin_of(upstream, total_s=LIMIT_S)))

    assert (caught.value.status, caught.value.code) == (504, "timeout")
    await left(upstream.connections[0])


async def test_the_whole_call_has_a_limit_within_a_body_that_never_pauses(upstream: Upstream, made: Pool) -> None:
    async def endless(call: Call) -> None:
        await call.send(HEAD)
        while True:
            await call.send(b"3\r\nabc\r\n")
            await asyncio.sleep(0)

    upstream.next(endless)
    clock = LoopClock()
    answer = await made.open(ask(origin_of(upstream, total_s=2 * PATIENCE_S)))
    assert answer.stream is not None

    with pytest.raises(BrokenStream) as caught:
        while True:
            await answer.stream.read()
            await clock.move(PATIENCE_S)

    assert (caught.value.status, caught.value.code) == (504, "timeout")
    answer.close()
    await left(upstream.connections[0])


async def test_connecting_has_its_limit_which_covers_the_tls_handshake(upstream: Upstream, made: Pool) -> None:
    upstream.greeting = "ignore"
    timeouts = Timeouts(connect_s=LIMIT_S)
    origin = Origin(scheme="https", host="127.0.0.1", port=upstream.port, timeouts=timeouts, proxy=None)

    with pytest.raises(UpstreamError, match=r"within 0\.1 s") as caught:
        await made.open(ask(origin))

    assert (caught.value.status, caught.value.code) == (504, "timeout")


async def test_a_provider_is_slowed_down_by_a_slow_reader(upstream: Upstream, made: Pool) -> None:
    piece, count = b"x" * 65536, 400
    upstream.next(Reply(pieces=[piece] * count, framing="chunked"))

    answer = await made.open(ask(origin_of(upstream)))
    connection = upstream.connections[0]
    await until_async(lambda: connection.stalled_s is not None, "the provider to be held up")
    assert connection.sent_bytes < count * len(piece)

    assert await rest(answer) == piece * count


async def test_closing_an_answer_in_the_middle_cuts_its_connection(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    upstream.hold()
    answer, held = await begun(made, upstream, origin, HEAD + b"3\r\nabc\r\n")

    answer.close()
    answer.close()

    await left(held.request.connection)
    assert await fetch(made, ask(origin)) == b"ok"


async def test_closing_an_answer_at_its_end_frees_its_connection_once(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    upstream.next(Reply(pieces=[b"ok"], framing="chunked"))

    answer = await made.open(ask(origin))
    await rest(answer)
    answer.close()
    answer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(fetch(made, ask(origin)))
    assert len(upstream.connections) == 2
    assert len({request.connection.number for request in upstream.requests[1:]}) == 2


async def test_a_call_that_is_cancelled_before_the_head_ends_its_connection(upstream: Upstream, made: Pool) -> None:
    upstream.hold()
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(made.open(ask(origin_of(upstream))))
        held = await take(upstream)
        opening.cancel()

    assert opening.cancelled()
    await left(held.request.connection)


async def test_a_read_that_is_cancelled_can_be_closed(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream)
    upstream.hold()
    answer, held = await begun(made, upstream, origin, HEAD)
    assert answer.stream is not None

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await answer.stream.read()
    answer.close()

    await left(held.request.connection)
    assert await fetch(made, ask(origin)) == b"ok"
