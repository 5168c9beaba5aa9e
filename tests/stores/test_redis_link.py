"""Ways to a Redis, and what becomes of servers that hang, die, or are none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from llmproxy.stores.facet import StoreFault, StoreRefusal
from llmproxy.stores.redis_link import RedisLink, Script, WrongType
from llmproxy.stores.redis_url import parse_redis_url
from tests.stores.test_sessions import visit
from tests.support.odd_redis import ODD, odd_redis
from tests.support.redis_server import CERTIFICATES, RedisServer, free_port, sentinel, tls_front
from tests.support.stores import LoneRedisBlobs, LoneRedisSessions
from tests.support.waiting import PATIENCE_S

CA = str(CERTIFICATES / "ca.pem")


@asynccontextmanager
async def link(url: str, ca_file: str | None = None) -> AsyncIterator[RedisLink]:
    made = RedisLink(parse_redis_url(url), ca_file)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def answered(asked: Callable[[], Any]) -> Any:
    """Return what `asked` gives when it is no longer a fault."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asked()
            except StoreFault:
                await asyncio.sleep(0.01)


async def works(url: str, ca_file: str | None = None) -> None:
    """Values and sessions can be kept there."""
    blobs = LoneRedisBlobs(RedisLink(parse_redis_url(url), ca_file), "works", 1 << 20)
    state = LoneRedisSessions(RedisLink(parse_redis_url(url), ca_file), "works", 10, 60.0)
    await blobs.start()
    await state.start()
    await blobs.set("k", b"x" * 2000, 60.0)
    assert await blobs.get("k") == b"x" * 2000
    assert await blobs.clear() == 1
    assert await state.touch(visit("s")) is not None
    await blobs.close()
    await state.close()


async def test_a_server_asks_for_a_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "p@ss/w:rd") as server:
        await works(f"redis://:p%40ss%2Fw%3Ard@127.0.0.1:{server.port}/3")
        await works(f"redis://default:p%40ss%2Fw%3Ard@127.0.0.1:{server.port}")
        for url in (server.url, f"redis://:wrong@127.0.0.1:{server.port}"):
            async with link(url) as wrong:
                with pytest.raises(StoreFault):
                    await wrong.execute("PING")


async def test_a_server_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = f"/tmp/llmproxy-test-{free_port()}.sock"
    with RedisServer(tmp_path, "--unixsocket", path):
        await works(f"unix://{path}")
        await works(f"unix://{path}?db=2")


async def test_a_server_behind_tls(redis_server: RedisServer) -> None:
    async with tls_front(redis_server.port) as port:
        await works(f"rediss://127.0.0.1:{port}/1", CA)
        async with link(f"rediss://127.0.0.1:{port}") as untrusting:
            with pytest.raises(StoreFault):
                await untrusting.execute("PING")
        async with link(f"redis://127.0.0.1:{port}") as plain:
            with pytest.raises(StoreFault):
                await plain.execute("PING")


async def test_a_server_that_sentinels_name(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, sentinel(tmp_path, server) as watching:
        await works(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{watching.port}/main/0")
        async with link(f"redis+sentinel://127.0.0.1:{watching.port}/other") as unknown:
            with pytest.raises(StoreFault):
                await unknown.execute("PING")


async def test_a_sentinel_and_its_server_behind_tls(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with tls_front(server.port) as port:
            settings = f"sentinel monitor main 127.0.0.1 {port} 1\ndir {tmp_path}\n"
            with RedisServer(tmp_path, sentinel=settings) as watching:
                async with (
                    tls_front(watching.port) as front,
                    link(f"rediss+sentinel://127.0.0.1:{front}/main", CA) as made,
                ):
                    # The sentinel cannot see through TLS; that it named the server's port is enough here.
                    assert await made.execute("PING") is True


async def test_servers_of_a_cluster(redis_cluster: str) -> None:
    await works(redis_cluster)
    async with link(redis_cluster) as made:
        await made.execute("SET", "elsewhere", "x")
        found = [key async for keys in made.scan("elsewh*") for key in keys]
        assert found == [b"elsewhere"]
        assert await made.unlink([b"elsewhere", b"nowhere"]) == 1


async def test_a_cluster_of_which_nobody_is_there() -> None:
    async with link(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}") as made:
        with pytest.raises(StoreFault):
            await made.execute("GET", "k")


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\xff\x00\xff\r\n" * 10,
        b"$nonsense\r\n",
        b"$7\r\nx",
        b":not a number\r\n",
        b"*2\r\n$1\r\nx\r\n!\r\n",
        b"-\r\n",
        b"-ERR what do you mean\r\n",
        b"-NOSCRIPT No matching script.\r\n",
        b"",
    ],
)
async def test_a_port_that_speaks_something_else_is_a_fault_and_nothing_worse(scheme: str, says: bytes) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        blobs = LoneRedisBlobs(RedisLink(parse_redis_url(url)), "n", 1 << 20)
        state = LoneRedisSessions(RedisLink(parse_redis_url(url)), "n", 10, 60.0)
        await blobs.start()
        await state.start()
        asks: list[Callable[[], Any]] = [
            lambda: blobs.get("k"),
            lambda: blobs.set("k", b"x", 60.0),
            lambda: blobs.delete("k"),
            lambda: blobs.clear(),
            lambda: state.touch(visit("s")),
            lambda: state.recent("t"),
            lambda: state.session("s"),
            lambda: state.sessions(1),
            state.counts,
        ]
        for ask in asks:
            with pytest.raises(StoreFault):
                await ask()
        await blobs.close()
        await state.close()


@pytest.mark.parametrize("says", [b":5\r\n", b"*0\r\n", b"+OK\r\n", b"*1\r\n*1\r\n:1\r\n"])
async def test_answers_of_the_wrong_kind_are_faults(says: bytes) -> None:
    async def mistake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(says)
        writer.close()

    server = await asyncio.start_server(mistake, "127.0.0.1", 0)
    async with server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        blobs = LoneRedisBlobs(RedisLink(parse_redis_url(url)), "n", 1 << 20)
        state = LoneRedisSessions(RedisLink(parse_redis_url(url)), "n", 10, 60.0)
        await state.start()
        if says != b"+OK\r\n":
            with pytest.raises(StoreFault):
                await blobs.get("k")
        else:
            assert await blobs.get("k") is None, "it has no head"
        with pytest.raises(StoreFault):
            await blobs.clear()
        with pytest.raises(StoreFault):
            await state.touch(visit("s"))
        if says != b"*0\r\n":
            with pytest.raises(StoreFault):
                await state.sessions(1)
            with pytest.raises(StoreFault):
                await state.session("s")
        await blobs.close()
        await state.close()


@pytest.mark.parametrize("kind", ODD)
async def test_whatever_a_server_answers_is_a_value_or_a_fault(kind: str) -> None:
    with odd_redis(kind) as url:
        blobs = LoneRedisBlobs(RedisLink(parse_redis_url(url)), "n", 1 << 20)
        state = LoneRedisSessions(RedisLink(parse_redis_url(url)), "n", 10, 60.0)
        await state.start()
        asks: list[Callable[[], Any]] = [
            lambda: blobs.get("k"),
            lambda: blobs.set("k", b"x", 60.0),
            lambda: blobs.clear(),
            lambda: state.touch(visit("s")),
            lambda: state.sessions(1),
        ]
        for ask in asks:
            with contextlib.suppress(StoreFault, TimeoutError):
                async with asyncio.timeout(0.3 if kind == "nothing" else 10.0):
                    await ask()
        await blobs.close()
        await state.close()


async def test_a_server_that_died_is_a_fault_until_it_is_back(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with link(server.url) as made:
            script = Script("return 7")
            assert await made.run(script, "k") == 7
            server.kill()
            for _ in range(3):
                with pytest.raises(StoreFault):
                    await made.run(script, "k")
            server.start()
            assert await answered(lambda: made.run(script, "k")) == 7, "it had forgotten the script"


async def test_who_gave_up_on_a_server_that_hangs_leaves_no_answer_to_others(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with link(server.url) as made:
            await made.execute("SET", "a", "of a")
            await made.execute("SET", "b", "of b")
            server.hang()
            for _ in range(40):
                with pytest.raises((TimeoutError, StoreFault)):  # the link's own patience may end at the same moment
                    async with asyncio.timeout(0.005):
                        await made.execute("GET", "a")
            server.go_on()
            for _ in range(40):
                assert await made.execute("GET", "b") == b"of b"


async def test_errors_of_a_server_that_goes_on_serving_are_told_apart(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as server:
        async with link(server.url) as made:
            await made.execute("RPUSH", "list", "x")
            with pytest.raises(WrongType):
                await made.execute("GET", "list")
            with pytest.raises(StoreRefusal):
                for number in range(100):
                    await made.execute("SET", f"k{number}", b"x" * 100_000)
            assert await made.execute("GET", "k0") == b"x" * 100_000
            with pytest.raises(StoreFault) as raised:
                await made.execute("NONSENSE")
            assert not isinstance(raised.value, StoreRefusal)
