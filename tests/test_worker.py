from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from llmproxy.config.load import load_from_python
from llmproxy.server.peers import ReloadReport, ServerHealth, WorkerRow
from llmproxy.server.shutdown import Shutdown
from llmproxy.stores.link import Link
from llmproxy.stores.store_server import StoreServer
from llmproxy.worker import serve_as_worker
from llmproxy.workers.handover import Acceptor, Channel, listen
from llmproxy.workers.operations import (
    ASK,
    COUNTED,
    LEAVING,
    READY,
    RELOAD,
    RELOAD_HERE,
    RENDER_METRICS,
    START_FAILED,
    STOP,
    Answers,
    Failed,
    Ready,
)
from llmproxy.workers.order import Order
from llmproxy.workers.parent_link import ParentLink
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has one worker")

CONFIG: dict[str, Any] = {"providers": [{"name": "s", "type": "stub"}], "middlewares": [{"type": "sessions"}]}
SERVER = ServerHealth(
    workers=[WorkerRow(worker=1, pid=7, state="serving", restarts=0, connections=1)], faults=["worker 2"], reload={}
)


class Parent:
    """The parent of one worker, in this process."""

    def __init__(self, config: dict[str, Any], directory: Path) -> None:
        self.ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.failed: Failed | None = None
        self.counted: list[bytes] = []
        self.url = ""
        self.link = Link("the worker")
        loaded = load_from_python(config, {}, environ={}, directory=directory)
        assert loaded.source is not None
        self._order = Order(number=1, count=2, pid=4711, started_s=0.0, source=loaded.source, dotenv={}, path=[])
        self.worker: asyncio.Task[int]

    def _note_failed(self, failed: Failed) -> None:
        self.failed = failed

    async def begin(self) -> None:
        link = self.link
        StoreServer().attach(link)
        link.serve(READY, self.ready.set_result)
        link.serve(START_FAILED, self._note_failed)
        link.serve(COUNTED, self.counted.append)
        link.serve(LEAVING, lambda: None)
        link.serve(ASK, lambda question, argument: Answers(parts=[], server=SERVER))
        link.serve(RELOAD, lambda reason: ReloadReport(changes=[reason], ignored=[]))
        ours, theirs = socket.socketpair()
        giving, taking = socket.socketpair()
        await link.connect(ours)
        listeners = await asyncio.to_thread(listen, "127.0.0.1", 0)
        self.acceptor, self.channel = Acceptor(listeners), Channel(giving)
        self.url = f"http://127.0.0.1:{listeners[0].getsockname()[1]}"
        self._shutdown = Shutdown()
        work = serve_as_worker(ParentLink(self._order, theirs, taking), self._shutdown)
        self.worker = asyncio.get_running_loop().create_task(work)

    async def serve(self) -> None:
        await self.ready
        self.acceptor.add(self.channel)

    async def get(self, path: str, method: str = "GET", **options: Any) -> Any:
        async with aiohttp.ClientSession() as session, session.request(method, self.url + path, **options) as answer:
            return json.loads(await answer.text())

    async def end(self) -> None:
        self.acceptor.remove(self.channel)
        self.acceptor.close()
        await self.link.close()
        await self.worker
        self._shutdown.close()  # it would end this process


@asynccontextmanager
async def parent_of(config: dict[str, Any], directory: Path) -> AsyncIterator[Parent]:
    parent = Parent(config, directory)
    async with asyncio.timeout(PATIENCE_S):
        await parent.begin()
        try:
            yield parent
        finally:
            await parent.end()


async def test_it_serves_what_its_parent_accepts_and_is_the_server_of_its_parent(tmp_path: Path) -> None:
    async with parent_of(CONFIG, tmp_path) as parent:
        await parent.serve()
        ask = {"model": "stub", "messages": [{"role": "user", "content": "hi"}]}
        assert (await parent.get("/v1/chat/completions", "POST", json=ask))["choices"]
        health = await parent.get("/health")
        assert (health["pid"], health["faults"], health["status"]) == (4711, ["worker 2"], "degraded")
        assert health["workers"][0]["worker"] == 1
        assert await parent.get("/admin/reload", "POST") == {"changes": ["POST /admin/reload"], "ignored": []}
        text, content_type = await parent.link.call(RENDER_METRICS, "")
        assert content_type.startswith("text/plain") and b"llmproxy_build_info" in text
        report = await parent.link.call(RELOAD_HERE, "SIGHUP")
        assert report.error is not None and report.error[2] == "not_reloadable", "it came from Python"
        parent.link.notify(STOP)
        assert await parent.worker == 0
        assert parent.counted, "its last counters are sent"


async def test_its_limits_are_its_share(tmp_path: Path) -> None:
    config = {**CONFIG, "server": {"max_connections": 3}}
    async with parent_of(config, tmp_path) as parent:
        await parent.serve()
        streams = [await asyncio.open_connection(*parent.acceptor.listeners[0].getsockname()) for _ in range(3)]
        line = await streams[2][0].readline()
        assert line.startswith(b"HTTP/1.1 503"), "half of three, rounded up"
        for _, writer in streams:
            writer.close()


async def test_a_parent_that_is_gone_is_a_signal_to_stop(tmp_path: Path) -> None:
    async with parent_of(CONFIG, tmp_path) as parent:
        await parent.serve()
        await parent.link.close()
        assert await parent.worker == 0


async def test_why_it_cannot_start_is_for_its_parent_to_say(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = {**CONFIG, "stores": {"default": {"type": "disk", "path": "/dev/null/x"}}}
    async with parent_of(broken, tmp_path) as parent:
        assert await parent.worker == 1
        assert parent.failed is not None and "/dev/null/x" in parent.failed.message
    assert capfd.readouterr().err == ""
