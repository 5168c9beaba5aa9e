"""What the parent of workers does while they start, reload and end: its processes are played by the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from llmproxy.config.load import load
from llmproxy.config.schema import ServerConfig
from llmproxy.server.peers import ReloadReport
from llmproxy.stores.store_server import StoreServer
from llmproxy.workers import supervisor as supervisors
from llmproxy.workers.process import WorkerProcess
from llmproxy.workers.supervisor import Supervisor, _check_shares
from llmproxy.workers.worker_place import WorkerPlace
from tests.support.waiting import PATIENCE_S, until_async


@pytest.mark.parametrize(("workers", "warns"), [(8, False), (9, True)])
def test_a_share_of_the_memory_that_is_too_small_is_a_warning(
    workers: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    _check_shares(ServerConfig.model_validate({"workers": workers, "max_held_bytes": "512MB", "max_body_size": "64MB"}))
    assert ("each of 9 workers may hold 56 MB" in caplog.text) == warns


class _Channel:
    open = 0


class _Played(WorkerProcess):
    """A worker without a process: it is started when `may_start` is set, and serves when its `ready` is set."""

    def __init__(self, number: int, stores: StoreServer) -> None:
        super().__init__(number, stores)
        self.channel = _Channel()  # type: ignore[assignment]  # only its count is looked at
        self.may_start = asyncio.Event()
        self.heard: list[str] = []
        self.reloading: Callable[[], Awaitable[None]] | None = None

    async def start(self, *order: Any) -> None:
        await self.may_start.wait()
        self.heard.append("start")

    async def reload(self, reason: str) -> ReloadReport:
        self.heard.append("reload")
        if self.reloading is not None:
            await self.reloading()
        return ReloadReport(changes=[], ignored=[])

    def stop(self) -> None:
        self.heard.append("stop")
        if "start" in self.heard:
            self._end(0)


class _Acceptor:
    """Connections, of which there are none."""

    def __init__(self) -> None:
        self.channels: list[object] = []

    def add(self, channel: object) -> None:
        self.channels.append(channel)

    def remove(self, channel: object) -> None:
        self.channels.remove(channel)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[_Played]:
    """Return the workers that were started, in order."""
    processes: list[_Played] = []

    def make(number: int, stores: StoreServer) -> _Played:
        processes.append(_Played(number, stores))
        return processes[-1]

    monkeypatch.setattr(supervisors, "WorkerProcess", make)
    return processes


async def _two(tmp_path: Path, played: list[_Played]) -> tuple[Supervisor, _Acceptor]:
    """Return the parent of two workers, which may start."""
    path = tmp_path / "llmproxy.yaml"
    path.write_text("server: {workers: 2}\nproviders: [{name: s, type: stub}]\n")
    loaded = await asyncio.to_thread(load, str(path), environ={})
    parent, acceptor = Supervisor(loaded, 2), _Acceptor()
    parent.start(acceptor)  # type: ignore[arg-type]  # it is played, too
    await until_async(lambda: len(played) == 2, "both workers")
    for each in played:
        each.may_start.set()
    await until_async(lambda: all(each.heard == ["start"] for each in played), "both to be started")
    return parent, acceptor


@pytest.mark.parametrize("ready_during", [True, False], ids=["ready before its end", "ready after it"])
async def test_a_worker_that_starts_during_a_reload_has_the_new_configuration(
    ready_during: bool, tmp_path: Path, played: list[_Played]
) -> None:
    """It may have read the files before they changed."""
    parent, acceptor = await _two(tmp_path, played)
    one, two = played

    async def reloading() -> None:
        if ready_during:
            two.ready.set()
            await until_async(lambda: len(acceptor.channels) == 2, "the second one to serve")

    one.ready.set()
    one.reloading = reloading
    await parent.apply()
    two.ready.set()
    await until_async(lambda: len(acceptor.channels) == 2, "the second one to serve")
    assert [each.heard for each in played] == [["start", "reload"], ["start", "reload"]]
    assert await parent.stop(PATIENCE_S)


async def test_a_worker_that_is_being_started_hears_of_a_stop(tmp_path: Path, played: list[_Played]) -> None:
    parent, acceptor = await _two(tmp_path, played)
    one, two = played
    one.ready.set()
    two._end(1)
    two.ready.set()
    parent.all_ready.set()
    await until_async(lambda: len(played) == 3, "one in its place")
    stopping = asyncio.get_running_loop().create_task(parent.stop(10 * PATIENCE_S))
    await until_async(lambda: played[2].heard == ["stop"], "the stop to begin")
    played[2].may_start.set()
    async with asyncio.timeout(PATIENCE_S):
        assert await stopping
    assert played[2].heard == ["stop", "start", "stop"] and acceptor.channels == []


@pytest.mark.parametrize(("code", "served", "again"), [(-9, False, 3), (1, True, 3), (1, False, 0)])
async def test_a_worker_that_ends_before_all_serve_gets_another_try(
    code: int, served: bool, again: int, tmp_path: Path, played: list[_Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it ended by itself at its start; and not for ever."""
    monkeypatch.setattr(WorkerPlace, "next_pause_s", lambda place, lived_s: 0.0)
    parent, acceptor = await _two(tmp_path, played)

    async def end(one: _Played, count: int) -> None:
        one.may_start.set()
        await until_async(lambda: one.heard == ["start"], "it to be started")
        if served:
            one.ready.set()
            await until_async(lambda: bool(acceptor.channels), "it to serve")
        one._end(code)
        await until_async(lambda: parent.failure.done() or len(played) > count, "one in its place")

    one = played[0]
    while not parent.failure.done():
        await end(one, len(played))
        one = played[-1]
    assert len(played) == 2 + again and parent.failure.result().message.startswith("worker 1 ")
    await parent.stop(PATIENCE_S)
