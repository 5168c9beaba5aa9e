"""What a Redis sends beyond the largest value that was stored is not read, however it announces it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.redis_link import RedisLink
from llmproxy.stores.redis_url import parse_redis_url
from tests.stores.test_sessions import visit
from tests.support.redis_server import RedisServer
from tests.support.stores import LoneRedisBlobs, LoneRedisResponses, LoneRedisSessions
from tests.support.waiting import until_async

ENTRY_BYTES = 1 << 20
READ_BYTES = 24 << 20  # a list of sessions, and what sockets hold
GIVES_UP_BYTES = 192 << 20


class Flood:
    """A server that answers every command with `head` and then `again` without end. `sent_bytes` counts the most on one
    connection, `dropped` the connections that were closed on it."""

    def __init__(self, head: bytes, again: bytes) -> None:
        self._head, self._again = head, again * (1 + 65536 // len(again))
        self.sent_bytes, self.dropped, self.url = 0, 0, ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        try:
            await reader.read(1)
            writer.write(self._head)
            while sent < GIVES_UP_BYTES:
                writer.write(self._again)
                await writer.drain()
                sent += len(self._again)
                self.sent_bytes = max(self.sent_bytes, sent)
        except OSError:
            self.dropped += 1
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (b"$1000000000\r\n", b"x"),
        (b"$999999999999999999999\r\n", b"x"),
        (b"*1000000000\r\n", b":1\r\n"),
        (b"*1000000000\r\n", b"$-1\r\n"),
        (b"*1000000000\r\n", b"$65536\r\n%b\r\n" % (b"x" * 65536)),
        (b"*1000000000\r\n", b"*1\r\n+OK\r\n"),
        (b"", b"*1000000000\r\n"),
        (b"*3\r\n*2\r\n", b"$4000000\r\n"),
        (b"+", b"x"),
        (b"-ERR ", b"x"),
        (b"$", b"1"),
    ],
)
async def test_an_answer_without_end_is_dropped_at_the_size_of_an_entry(head: bytes, again: bytes) -> None:
    flood = Flood(head, again)
    async with flood.running():
        blobs = LoneRedisBlobs(RedisLink(parse_redis_url(flood.url)), "n", ENTRY_BYTES)
        responses = LoneRedisResponses(RedisLink(parse_redis_url(flood.url)), "n", ENTRY_BYTES)
        state = LoneRedisSessions(RedisLink(parse_redis_url(flood.url)), "n", 10, 60.0)
        await state.start()
        asks: list[Callable[[], Awaitable[object]]] = [
            lambda: blobs.get("k"),
            lambda: blobs.set("k", b"x", 60.0),
            lambda: blobs.clear(),
            lambda: responses.get_many(["a", "b"]),
            lambda: state.touch(visit("s")),
            lambda: state.sessions(10),
        ]
        for number, ask in enumerate(asks, 1):
            with pytest.raises(StoreFault):
                await ask()
            await until_async(lambda number=number: flood.dropped >= number, "the connection to be dropped")  # type: ignore[misc]
        for each in (blobs, responses, state):
            await each.close()
    assert flood.sent_bytes < READ_BYTES


async def test_the_largest_value_is_read_and_one_byte_more_is_not(redis_server: RedisServer) -> None:
    link = RedisLink(parse_redis_url(redis_server.url))
    most = 3 << 20
    await link.execute("SET", "bounded", b"x" * most)
    assert await link.get("bounded", most) == b"x" * most
    with pytest.raises(StoreFault, match="larger than any that was stored"):
        await link.get("bounded", most - 1000)
    assert await link.get_many(["bounded", "bounded"], 2 * most) == [b"x" * most] * 2
    with pytest.raises(StoreFault, match="larger"):
        await link.get_many(["bounded", "bounded"], most)
    await link.unlink([b"bounded"])
    await link.close()


async def test_large_values_are_read_a_few_at_a_time_and_all_of_them(redis_server: RedisServer) -> None:
    link = RedisLink(parse_redis_url(redis_server.url))
    await link.execute("SET", "large", b"x" * (2 << 20))
    values = await asyncio.gather(*(link.get("large", 4 << 20) for _ in range(20)))
    assert [len(each) for each in values if isinstance(each, bytes)] == [2 << 20] * 20
    await link.unlink([b"large"])
    await link.close()
