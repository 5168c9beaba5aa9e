"""The ends of a server that are not the usual one: signals in a row, threads, components that cannot be closed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from llmproxy.app import build, serve
from llmproxy.config.load import Loaded, load_from_python
from llmproxy.state import State
from tests.support import vendors
from tests.support.pooling import take
from tests.support.provider import Upstream
from tests.support.waiting import PATIENCE_S
from tests.test_app import ASK, CHAT, Place, listening, swap

STUBBORN = '''
from llmproxy.middleware.base import Middleware
from llmproxy.settings import Strict


class Stubborn(Middleware):
    """Cannot be closed."""

    async def close(self):
        raise RuntimeError("cannot close")
'''


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


@pytest.fixture
def place(tmp_path: Path, upstream: Upstream) -> Place:
    return Place(tmp_path, upstream)


@contextlib.asynccontextmanager
async def served(loaded: Loaded) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """`serve` at work: its address and its task, which ends within the block."""
    announced: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        serving = group.create_task(serve(loaded, announced.set_result))
        yield await announced, serving


@pytest.mark.skipif(sys.platform == "win32", reason="a signal would end the whole test run there")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_what_is_running_with_an_error(
    place: Place, upstream: Upstream, number: signal.Signals
) -> None:
    upstream.hold()
    async with served(place.loaded("a")) as (address, serving), aiohttp.ClientSession() as client:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(_ask(client, address))
            held = await take(upstream)
            signal.raise_signal(number)
            done, _ = await asyncio.wait((serving,), timeout=0.2)
            assert not done and not asking.done()

            signal.raise_signal(number)

        assert asking.result() == 503
        await serving
        await asyncio.to_thread(held.wait_left)
    assert place.events == ["start a", "close a with 0"]


async def _ask(client: aiohttp.ClientSession, address: str) -> int:
    async with client.post(address + CHAT, json=ASK) as answer:
        return answer.status


@pytest.mark.skipif(sys.platform == "win32", reason="a signal would end the whole test run there")
async def test_after_the_end_a_signal_does_again_what_it_did_before(place: Place) -> None:
    before = signal.getsignal(signal.SIGTERM)

    async with served(place.loaded("a")):
        assert signal.getsignal(signal.SIGTERM) != before
        signal.raise_signal(signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("busy", [False, True])
def test_in_a_thread_it_serves_without_signals_until_it_is_cancelled(
    place: Place, upstream: Upstream, busy: bool
) -> None:
    got: list[int] = []

    async def ask_and_cancel() -> None:
        async with (
            aiohttp.ClientSession() as client,
            asyncio.TaskGroup() as group,
            served(place.loaded("a")) as (address, serving),
        ):
            got.append(await _ask(client, address))
            if busy:
                upstream.hold()
                asking = group.create_task(_ask(client, address))
                await take(upstream)
            serving.cancel()
        if busy:
            got.append(asking.result())

    thread = threading.Thread(target=lambda: asyncio.run(ask_and_cancel()))
    thread.start()
    thread.join(PATIENCE_S)

    assert got == [200, 503][: 1 + busy]
    assert place.events == ["start a", "close a with 0"]


@pytest.mark.skipif(sys.platform == "win32" or not socket.has_ipv6, reason="needs a signal and IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
async def test_an_address_of_ipv6_is_announced_as_it_is_called(place: Place, host: str) -> None:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        async with served(place.loaded("a", host=host)) as (address, _):
            assert address.startswith("http://[::1]:")
            signal.raise_signal(signal.SIGTERM)
        return
    pytest.skip("no IPv6 on this machine")


async def test_a_component_that_cannot_be_closed_keeps_no_other_from_it(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    first, last = ({"type": "mark.py:Mark", "config": {"name": name}} for name in ("first", "last"))
    config = {
        "providers": [{"name": "s", "type": "stub"}],
        "middlewares": [first, {"type": "stubborn.py:Stubborn"}, last],
    }
    loaded = load_from_python(config, {}, environ={}, directory=tmp_path)

    async with listening(loaded) as server:
        await swap(server.shared, build(place.loaded("new"), server.state))
        assert place.events[2:] == ["start new", "close last with 0", "close first with 0"]
        assert (await server.ask())[:2] == (200, "new")
    assert "cannot close" in caplog.text and "Stubborn" in caplog.text


async def test_a_state_that_nothing_was_built_with_can_be_closed() -> None:
    state = State(1)
    assert not state.stopping
    await state.close()
