from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest

from llmproxy.server.tls import TlsFiles, load_context
from llmproxy.workers import handover
from llmproxy.workers.handover import Acceptor, Channel, Taker, listen
from tests.support.provider import CERTIFICATES
from tests.support.proxy import loops
from tests.support.waiting import PATIENCE_S, until_async

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has one worker")


class Named(asyncio.Protocol):
    """Says to each client which worker it is at, and notes the end of the connection."""

    def __init__(self, name: bytes, closed: Callable[[], None]) -> None:
        self._name = name
        self._closed = closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._name)  # that of uvloop has another base

    def connection_lost(self, error: Exception | None) -> None:
        self._closed()


class Worker:
    """A worker in this process: its two ends."""

    def __init__(self, name: bytes, context: ssl.SSLContext | None = None) -> None:
        giving, self._end = socket.socketpair()
        self.channel = Channel(giving)
        self.taker = Taker(self._end, lambda: Named(name, lambda: self.taker.closed()), context)

    def die(self) -> None:
        self.taker.stop()
        self._end.close()


@asynccontextmanager
async def accepting(*workers: Worker) -> AsyncIterator[tuple[Acceptor, tuple[str, int]]]:
    listeners = await asyncio.to_thread(listen, "127.0.0.1", 0)
    acceptor = Acceptor(listeners)
    for each in workers:
        acceptor.add(each.channel)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield acceptor, listeners[0].getsockname()
    finally:
        for each in workers:
            acceptor.remove(each.channel)
            each.die()
        acceptor.close()


async def named(address: tuple[str, int], stack: AsyncExitStack) -> bytes:
    """Return the name of the worker that a new client gets, which stays connected."""
    reader, writer = await asyncio.open_connection(*address)
    stack.callback(writer.close)
    return await reader.read(1)


@pytest.mark.parametrize("factory", loops())
def test_each_worker_gets_as_many_as_the_others(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario() -> list[bytes]:
        one, other = workers = Worker(b"1"), Worker(b"2")
        async with AsyncExitStack() as stack, accepting(*workers) as (_, address):
            for each in workers:
                each.taker.start()
            names = await asyncio.gather(*(named(address, stack) for _ in range(64)))
            assert (one.channel.open, other.channel.open) == (32, 32)
        return names

    with asyncio.Runner(loop_factory=factory) as runner:
        names = runner.run(scenario())
    assert (names.count(b"1"), names.count(b"2")) == (32, 32)


async def test_one_that_has_fewer_gets_the_next_ones() -> None:
    one, other = Worker(b"1"), Worker(b"2")
    async with AsyncExitStack() as stack, accepting(one) as (acceptor, address):
        one.taker.start()
        assert {await named(address, stack) for _ in range(3)} == {b"1"}
        acceptor.add(other.channel)
        other.taker.start()
        assert [await named(address, stack) for _ in range(3)] == [b"2"] * 3
        async with AsyncExitStack() as soon_over:
            assert {await named(address, soon_over) for _ in range(2)} == {b"1", b"2"}
        await until_async(lambda: one.channel.open + other.channel.open == 6, "the last two to be gone")
        acceptor.remove(other.channel)
        other.die()


async def test_what_a_dead_worker_has_not_taken_goes_to_another() -> None:
    one, other = Worker(b"1"), Worker(b"2")
    async with AsyncExitStack() as stack, accepting(one) as (acceptor, address):
        waiting = asyncio.gather(*(named(address, stack) for _ in range(5)))
        await until_async(lambda: one.channel.open == 5, "all of them to be given to the first")
        acceptor.remove(one.channel)
        acceptor.add(other.channel)
        other.taker.start()
        assert await waiting == [b"2"] * 5
        acceptor.remove(other.channel)
        other.die()


async def test_connections_wait_until_there_is_a_worker() -> None:
    late = Worker(b"1")
    async with AsyncExitStack() as stack, accepting() as (acceptor, address):
        waiting = asyncio.gather(*(named(address, stack) for _ in range(3)))
        acceptor.add(late.channel)
        late.taker.start()
        assert await waiting == [b"1"] * 3
        acceptor.remove(late.channel)
        late.die()


async def test_one_that_is_blocked_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "STALLED_S", 0.01)
    monkeypatch.setattr(handover, "MOST_UNTAKEN", 2)
    blocked, other = Worker(b"1"), Worker(b"2")
    async with AsyncExitStack() as stack, accepting(blocked, other) as (acceptor, address):
        other.taker.start()
        clients = asyncio.gather(*(named(address, stack) for _ in range(20)))
        await until_async(lambda: other.channel.open == 18, "the other one to get all but two")
        assert blocked.channel.open == 2
        acceptor.remove(blocked.channel)
        assert set(await clients) == {b"2"}


def test_an_address_that_is_in_use_is_an_error_and_leaves_nothing_open() -> None:
    (first,) = listen("127.0.0.1", 0)
    with first, pytest.raises(OSError) as caught:
        listen("127.0.0.1", first.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE


def test_all_addresses_of_a_name_have_the_same_port() -> None:
    sockets = listen("localhost", 0)
    assert len({each.getsockname()[1] for each in sockets}) == 1
    for each in sockets:
        each.close()


@pytest.mark.parametrize("factory", loops())
def test_a_worker_speaks_tls_and_one_that_does_not_is_gone(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    files = TlsFiles(certificate=str(CERTIFICATES / "server.pem"), key=str(CERTIFICATES / "server.key"))
    context, trusting = load_context(files), ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def scenario() -> None:
        worker = Worker(b"1", context)
        async with accepting(worker) as (_, address):
            worker.taker.start()
            reader, writer = await asyncio.open_connection(*address, ssl=trusting)
            assert await reader.read(1) == b"1" and worker.channel.open == 1
            _, plain = await asyncio.open_connection(*address)
            await until_async(lambda: worker.channel.open == 2, "the other one to be given")
            plain.write(b"GET / HTTP/1.1\r\n\r\n")
            await until_async(lambda: worker.channel.open == 1, "the other one to be gone")
            for each in (plain, writer):
                each.close()
            await until_async(lambda: worker.channel.open == 0, "both to be gone")

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scenario())


async def test_what_a_worker_took_in_its_last_moment_goes_to_no_other_one() -> None:
    giving, end = socket.socketpair()
    channel, connections = Channel(giving), socket.socketpair()
    with connections[1]:
        assert all(channel.give(each) for each in connections)
        end.send(b"+")
        end.close()
        assert channel.close() == [connections[1]]


async def test_a_connection_for_which_a_worker_has_no_descriptor_is_none_of_its_own() -> None:
    giving, end = socket.socketpair()
    taker = Taker(end, asyncio.Protocol, None)
    with giving, end:
        taker.start()
        giving.setblocking(False)
        giving.send(b"+")  # so it arrives where no descriptor is free
        said = b""
        async with asyncio.timeout(PATIENCE_S):
            while len(said) < 2:
                said += await asyncio.get_running_loop().sock_recv(giving, 2)
        assert said == b"+-"
        taker.stop()
