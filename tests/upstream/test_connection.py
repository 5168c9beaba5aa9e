"""One connection to a provider: what breaks its bodies, and how long they may be silent."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.errors import BrokenStream
from llmproxy.upstream import pool as pools
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.loop_clock import LoopClock
from tests.support.pooling import HEAD, ask, begun, fetch, left, origin_of, rest
from tests.support.provider import Gate, Reply, Upstream
from tests.support.waiting import PATIENCE_S

LIMIT_S = 3 * PATIENCE_S


@pytest.mark.parametrize("wrong", [b"zz\r\n", b"-1\r\nx\r\n", b"2\r\nabcd\r\n", b"fffffffffffffffff\r\n"])
async def test_a_wrong_chunk_breaks_the_body_and_the_connection(upstream: Upstream, made: Pool, wrong: bytes) -> None:
    origin = origin_of(upstream)
    upstream.hold()
    answer, held = await begun(made, upstream, origin, HEAD + b"3\r\nabc\r\n")
    assert answer.stream is not None
    assert await answer.stream.read() == b"abc"
    held.send(wrong)

    with pytest.raises(BrokenStream):
        await rest(answer)

    answer.close()
    await left(held.request.connection)
    held.done()


async def test_a_reset_breaks_a_body_that_only_the_end_of_the_connection_delimits(
    upstream: Upstream, made: Pool
) -> None:
    gate = Gate()
    upstream.next(Reply(pieces=[b"abc", gate], framing="none", end="reset"))
    answer = await made.open(ask(origin_of(upstream)))
    assert answer.stream is not None
    assert await answer.stream.read() == b"abc"
    gate.open()

    with pytest.raises(BrokenStream):
        await answer.stream.read()

    answer.close()


@pytest.mark.parametrize("first_byte_s", [None, 2 * PATIENCE_S, 4 * PATIENCE_S])
@pytest.mark.parametrize("begin", [HEAD, HEAD + b"3\r\nabc\r\n"], ids=["after the head", "within the body"])
async def test_silence_within_an_answer_breaks_it_after_the_idle_limit(
    upstream: Upstream, made: Pool, begin: bytes, first_byte_s: float | None
) -> None:
    clock, origin = LoopClock(), origin_of(upstream, first_byte_s=first_byte_s, idle_s=LIMIT_S)
    upstream.hold()
    answer, held = await begun(made, upstream, origin, begin)
    reading = asyncio.get_running_loop().create_task(rest(answer))
    await clock.move(LIMIT_S - PATIENCE_S)
    assert not reading.done()
    await clock.move(2 * PATIENCE_S)

    with pytest.raises(BrokenStream) as caught:
        reading.result()
    assert (caught.value.status, caught.value.code) == (504, "timeout")
    answer.close()
    await left(held.request.connection)
    held.done()


@pytest.mark.parametrize("idle_s", [None, 1000 * PATIENCE_S])
async def test_the_first_bytes_limit_ends_with_the_head(upstream: Upstream, made: Pool, idle_s: float | None) -> None:
    clock, origin = LoopClock(), origin_of(upstream, first_byte_s=LIMIT_S, idle_s=idle_s)
    upstream.hold()
    answer, held = await begun(made, upstream, origin, HEAD)

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(rest(answer))
        await clock.move(3 * LIMIT_S)
        assert not reading.done()
        held.send(b"2\r\nok\r\n0\r\n\r\n")
        held.done()

    assert reading.result() == b"ok"


async def test_a_connection_that_waits_has_no_limit_of_the_call_before(
    upstream: Upstream, made: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "POOLED_S", 100 * LIMIT_S)
    clock, origin = LoopClock(), origin_of(upstream, first_byte_s=LIMIT_S, idle_s=LIMIT_S)
    upstream.next(Reply(pieces=[b"ok"], framing="chunked"))
    await fetch(made, ask(origin))

    await clock.move(3 * LIMIT_S)

    assert await fetch(made, ask(origin)) == b"ok"
    assert upstream.last.connection is upstream.connections[0]
