"""One connection to a provider: what breaks its bodies, and how long they may be silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from llmproxy.errors import BrokenStream
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.pooling import HEAD, ask, begun, failure, fetch, left, ok, origin_of, pool, rest
from tests.support.provider import Gate, Reply, Upstream, silence
from tests.support.waiting import PATIENCE_S

LIMIT_S = 0.1


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(ok) as upstream:
        yield upstream


@pytest.fixture
async def made() -> AsyncIterator[Pool]:
    async with pool() as made:
        yield made


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


@pytest.mark.parametrize("first_byte_s", [None, 0.3, 30.0])
@pytest.mark.parametrize("begin", [HEAD, HEAD + b"3\r\nabc\r\n"], ids=["after the head", "within the body"])
async def test_silence_within_an_answer_breaks_it_after_the_idle_limit(
    upstream: Upstream, made: Pool, begin: bytes, first_byte_s: float | None
) -> None:
    upstream.hold()
    answer, held = await begun(made, upstream, origin_of(upstream, first_byte_s=first_byte_s, idle_s=LIMIT_S), begin)

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BrokenStream) as caught:
            await rest(answer)

    assert (caught.value.status, caught.value.code) == (504, "timeout")
    answer.close()
    await left(held.request.connection)
    held.done()


@pytest.mark.parametrize("idle_s", [None, 30.0])
async def test_the_first_bytes_limit_ends_with_the_head(upstream: Upstream, made: Pool, idle_s: float | None) -> None:
    upstream.hold()
    answer, held = await begun(made, upstream, origin_of(upstream, first_byte_s=LIMIT_S, idle_s=idle_s), HEAD)

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(rest(answer))
        done, _ = await asyncio.wait((reading,), timeout=3 * LIMIT_S)
        assert not done
        held.send(b"2\r\nok\r\n0\r\n\r\n")
        held.done()

    assert reading.result() == b"ok"


async def test_a_connection_that_waits_has_no_limit_of_the_call_before(upstream: Upstream, made: Pool) -> None:
    origin = origin_of(upstream, first_byte_s=LIMIT_S, idle_s=LIMIT_S)
    upstream.next(Reply(pieces=[b"ok"], framing="chunked"))
    await fetch(made, ask(origin))

    upstream.next(silence)
    assert (await failure(made, ask(origin_of(upstream, first_byte_s=3 * LIMIT_S)))).status == 504

    assert await fetch(made, ask(origin)) == b"ok"
    assert upstream.last.connection is upstream.connections[0]
