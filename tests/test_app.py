"""How a configuration becomes a running server, is replaced under traffic, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from llmproxy.app import build, serve
from llmproxy.config.load import Loaded, load_from_python
from llmproxy.registry import RegistryError, find_component
from llmproxy.reload import replace_runtime
from llmproxy.server.edge import Edge
from llmproxy.server.runtime import Runtime
from llmproxy.server.shared import Shared
from llmproxy.state import State
from tests.support import vendors
from tests.support.pooling import HEAD, take
from tests.support.program import ROOT, clean_environment
from tests.support.provider import Upstream
from tests.support.raw_http import RawClient
from tests.support.waiting import PATIENCE_S, until_async

CHAT = "/v1/chat/completions"
ASK = {"model": "gpt-x", "messages": []}
MARK = '''
from llmproxy.middleware.base import Middleware
from llmproxy.settings import Strict


class Mark(Middleware):
    """Puts its name on every answer, and notes when it starts and closes, and with how many exchanges on it."""

    events = []

    class Config(Strict):
        name: str
        broken: bool = False

    def __init__(self, config):
        super().__init__(config)
        self.running = 0

    async def start(self):
        if self.config.broken:
            raise RuntimeError("cannot start")
        self.events.append(f"start {self.config.name}")

    async def close(self):
        self.events.append(f"close {self.config.name} with {self.running}")

    async def on_request(self, exchange):
        self.running += 1

    async def on_response(self, exchange, answer):
        answer.headers["x-mark"] = self.config.name

    def on_end(self, exchange):
        self.running -= 1
'''


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


class Place:
    """Configurations that all use `upstream`, told apart by their marks; `events` is what became of the marks."""

    def __init__(self, directory: Path, upstream: Upstream) -> None:
        self._directory = directory
        self._upstream = upstream
        (directory / "mark.py").write_text(MARK)

    @property
    def events(self) -> list[str]:
        mark: Any = find_component("middlewares", "mark.py:Mark", self._directory)
        events: list[str] = mark.events
        return events

    def loaded(
        self, *names: str, broken: str = "", more: Sequence[object] = (), stores: object = (), **server: object
    ) -> Loaded:
        """Return a configuration with these marks; the one that is `broken` fails to start."""
        marks = [{"type": "mark.py:Mark", "config": {"name": name, "broken": name == broken}} for name in names]
        url = f"{self._upstream.url}/v1"
        main = {"name": "main", "type": "openai", "base_url": url, "api_key": "k", "proxy": None}
        config = {
            "providers": [main],
            "middlewares": [*marks, *more],
            "stores": stores or {},
            "server": {"port": 0} | server,
        }
        return load_from_python(config, {}, environ={}, directory=self._directory)


@pytest.fixture
def place(tmp_path: Path, upstream: Upstream) -> Place:
    return Place(tmp_path, upstream)


async def swap(shared: Shared, runtime: Runtime) -> None:
    """Let new exchanges begin with `runtime`, and close the old one once its last exchange is over."""
    await (await replace_runtime(shared, runtime)).retire()


class Server:
    """One that listens in the test's own loop, and a client for it."""

    def __init__(self, state: State, shared: Shared, client: aiohttp.ClientSession) -> None:
        self.state = state
        self.shared = shared
        self._client = client

    async def ask(self, stream: bool = False) -> tuple[int, str, bytes]:
        """Status, mark and body of one answer."""
        async with self._client.post(CHAT, json=ASK | {"stream": stream}) as answer:
            return answer.status, answer.headers.get("x-mark", ""), await answer.read()

    async def headers(self) -> Mapping[str, str]:
        """Return the headers of one answer, once it can be found in the cache."""
        async with self._client.post(CHAT, json=ASK | {"messages": [{"role": "user", "content": "hi"}]}) as answer:
            await answer.read()
            return answer.headers


@contextlib.asynccontextmanager
async def listening(loaded: Loaded) -> AsyncIterator[Server]:
    state = State(1 << 30)
    runtime = build(loaded, state)
    await runtime.start()
    state.shared = shared = Shared(runtime, state.metrics, state.budget)
    edge = Edge(shared)
    listener = await asyncio.get_running_loop().create_server(edge, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        async with aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(limit=0)) as client:
            yield Server(state, shared, client)
    finally:
        listener.close()
        await edge.stop(1)
        assert isinstance(shared.runtime, Runtime)
        await shared.runtime.retire()
        await state.close()
    assert (state.metrics.in_flight, state.budget.used_bytes) == (0, 0)


async def test_running_requests_finish_on_the_old_runtime_while_new_ones_use_the_new(
    place: Place, upstream: Upstream
) -> None:
    upstream.hold()
    async with listening(place.loaded("old")) as server, asyncio.TaskGroup() as group:
        waiting = group.create_task(server.ask())
        held = await take(upstream)
        swapping = group.create_task(swap(server.shared, build(place.loaded("new"), server.state)))
        await until_async(lambda: "start new" in place.events, "the new runtime to start")

        assert (await server.ask())[:2] == (200, "new")
        assert place.events == ["start old", "start new"] and not swapping.done()

        held.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        held.done()
        assert await waiting == (200, "old", b"{}")
        await swapping
        assert place.events == ["start old", "start new", "close old with 0"]


async def test_a_stream_that_began_before_a_swap_is_whole(place: Place, upstream: Upstream) -> None:
    frames = vendors.chat_frames("gpt-x")
    upstream.hold()
    async with listening(place.loaded("old")) as server, asyncio.TaskGroup() as group:
        waiting = group.create_task(server.ask(stream=True))
        held = await take(upstream)
        held.send(HEAD + b"%x\r\n%b\r\n" % (len(frames[0]), frames[0]))
        swapping = group.create_task(swap(server.shared, build(place.loaded("new"), server.state)))
        await until_async(lambda: "start new" in place.events, "the new runtime to start")
        assert (await server.ask())[1] == "new" and "close old with 0" not in place.events

        rest = b"".join(frames[1:])
        held.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        held.done()
        assert (await waiting)[2] == b"".join(frames)
        await swapping
        assert place.events[-1] == "close old with 0"


async def test_nothing_is_lost_when_runtimes_are_swapped_under_traffic(place: Place) -> None:
    names = [f"r{number}" for number in range(6)]
    seen: list[tuple[int, str]] = []
    over = False

    async def client(server: Server, stream: bool) -> None:
        while not over:
            seen.append((await server.ask(stream))[:2])

    async with listening(place.loaded(names[0])) as server:
        async with asyncio.TaskGroup() as group:
            for number in range(24):
                group.create_task(client(server, stream=number % 2 == 0))
            for name in names[1:]:
                goal = len(seen) + 50
                await until_async(lambda goal=goal: len(seen) >= goal, "50 more answers")  # type: ignore[misc]
                await swap(server.shared, build(place.loaded(name), server.state))
            goal = len(seen) + 50
            await until_async(lambda: len(seen) >= goal, "answers of the last runtime")
            over = True

        assert {status for status, _ in seen} == {200}
        assert {mark for _, mark in seen} == set(names)
        counted = sum(sum(each.durations.counts) for each in server.state.metrics.requests.values())
        assert counted == len(seen)
    closed = [event for event in place.events if event.startswith("close")]
    assert closed == [f"close {name} with 0" for name in names]


@pytest.mark.parametrize(
    "store", [{}, {"store": "mine"}, {"store": "disk", "path": "x.sqlite"}], ids=["default", "named", "in place"]
)
async def test_a_swap_keeps_cached_answers_and_sessions(
    place: Place, upstream: Upstream, store: dict[str, object]
) -> None:
    def loaded(mark: str, max_size: str) -> Loaded:
        return place.loaded(
            mark,
            more=[
                {"type": "sessions", "config": store},
                {"type": "cache", "config": {**store, "when": "always", "max_size": max_size}},
            ],
            stores={"mine": "memory"},
        )

    async with listening(loaded("old", "256MB")) as server:
        before = await server.headers()
        for size in ("256MB", "1MB"):
            await swap(server.shared, build(loaded("new", size), server.state))
            after = await server.headers()
            assert (after["x-mark"], after["x-cache"]) == ("new", "hit")
            assert after["x-llmproxy-session"] == before["x-llmproxy-session"]
    assert len(upstream.requests) == 1


async def test_an_idle_runtime_is_closed_as_soon_as_it_is_replaced(place: Place) -> None:
    async with listening(place.loaded("old")) as server:
        await swap(server.shared, build(place.loaded("new"), server.state))
        assert place.events == ["start old", "start new", "close old with 0"]


async def test_a_component_that_fails_to_start_closes_those_before_it_last_first(place: Place) -> None:
    state = State(1 << 20)
    runtime = build(place.loaded("a", "b", "c", "d", broken="c"), state)
    with pytest.raises(RegistryError, match="cannot start"):
        await runtime.start()
    await state.close()
    assert place.events == ["start a", "start b", "close b with 0", "close a with 0"]


async def test_a_runtime_that_fails_to_start_leaves_the_old_one_in_place(place: Place) -> None:
    async with listening(place.loaded("old")) as server:
        with pytest.raises(RegistryError, match="cannot start"):
            await swap(server.shared, build(place.loaded("a", "b", broken="b"), server.state))
        assert place.events == ["start old", "start a", "close a with 0"]
        assert (await server.ask())[:2] == (200, "old")


async def test_serve_announces_nothing_when_a_component_fails_to_start(place: Place) -> None:
    announced: list[str] = []
    with pytest.raises(RegistryError, match="cannot start"):
        await serve(place.loaded("a", "b", broken="b"), announced.append)
    assert not announced and place.events == ["start a", "close a with 0"]


async def test_serve_closes_what_it_started_when_the_address_is_taken(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        await serve(place.loaded("a", port=taken.getsockname()[1]), pytest.fail)
    assert place.events == ["start a", "close a with 0"]


async def test_serve_listens_on_a_socket_that_is_bound_already(place: Place) -> None:
    announced: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        async with aiohttp.ClientSession() as client:
            serving = asyncio.get_running_loop().create_task(
                serve(place.loaded("a", host="localhost", port=1), announced.set_result, bound)
            )
            assert await announced == f"http://127.0.0.1:{port}"
            async with client.post(await announced + CHAT, json=ASK) as answer:
                assert (answer.status, answer.headers["x-mark"]) == (200, "a")
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving


@pytest.mark.skipif(sys.platform == "win32", reason="a signal would end the whole test run there")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
async def test_serve_announces_the_port_it_got_and_ends_on_a_signal(place: Place, host: str) -> None:
    assert threading.current_thread() is threading.main_thread()
    announced: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as client:
        serving = group.create_task(serve(place.loaded("a", host=host), announced.set_result))
        address = await announced
        assert not address.endswith(":0")
        async with client.post(address + CHAT, json=ASK) as answer:
            assert (answer.status, answer.headers["x-mark"]) == (200, "a")
        signal.raise_signal(signal.SIGTERM)
        await serving
    assert address.startswith(f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:")
    assert place.events == ["start a", "close a with 0"]


@pytest.mark.skipif(sys.platform == "win32", reason="processes get no SIGTERM there")
def test_host_and_port_given_to_run_win_over_the_configuration(tmp_path: Path) -> None:
    config = {"providers": [{"name": "s", "type": "stub"}], "server": {"host": "203.0.113.1", "port": 1}}
    program = f"import llmproxy; llmproxy.create_app({config!r}).run('127.0.0.1', 0)"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=clean_environment(tmp_path) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("llmproxy serves http://127.0.0.1:"), said
            with RawClient(("127.0.0.1", int(said.rpartition(":")[2]))) as client:
                client.post(CHAT, {"model": "stub", "messages": []})
                assert client.read_answer().status == 200
        finally:
            process.terminate()
        assert process.wait(PATIENCE_S) == 0
