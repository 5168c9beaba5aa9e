from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from llmproxy.config.load import load_from_python
from llmproxy.server.peers import ReloadReport, ServerHealth
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.store_server import StoreServer
from llmproxy.workers import order as orders
from llmproxy.workers.gathering import Answering
from llmproxy.workers.operations import Answers
from llmproxy.workers.order import Order
from llmproxy.workers.process import WorkerProcess
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has one worker")


async def ask(asking: Answering, question: str, argument: bytes) -> Answers:
    return Answers(parts=[], server=ServerHealth(workers=[], faults=[], reload={}))


async def reload(reason: str) -> ReloadReport:
    return ReloadReport(changes=[], ignored=[])


@asynccontextmanager
async def started(code: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerProcess]:
    """Yield a process that runs `code` in place of a worker."""

    def command(descriptors: Sequence[int]) -> list[str]:
        return [sys.executable, "-S", "-c", code, *map(str, descriptors)]

    monkeypatch.setattr(orders, "worker_command", command)
    loaded = load_from_python({"providers": [{"name": "s", "type": "stub"}]}, {}, environ={})
    assert loaded.source is not None
    process = WorkerProcess(1, StoreServer())
    order = Order(number=1, count=2, pid=1, started_s=0.0, source=loaded.source, dotenv={}, path=[])
    async with asyncio.timeout(PATIENCE_S):
        await process.start(order, ask, reload)
        try:
            yield process
        finally:
            process.channel.close()
            await process.close()


async def test_its_end_is_known_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).recv(1 << 20); sys.exit(3)"
    async with started(reads, monkeypatch) as process:
        assert await process.ended == 3
        assert process.describe_end() == "ended with exit code 3" and not process.serving


async def test_one_that_is_killed_says_by_which_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started("import time; time.sleep(60)", monkeypatch) as process:
        assert process.pid is not None
        process.kill()
        await process.ended
        assert process.describe_end() == "was ended by SIGKILL"
        await process.link.close()
        with pytest.raises(StoreFault):
            await process.reload("SIGHUP")


async def test_one_that_cannot_be_started_has_no_process() -> None:
    process = WorkerProcess(1, StoreServer())
    process.cannot_start("cannot be started: no memory")
    assert process.failed is not None and process.failed.message == "cannot be started: no memory"
    assert process.pid is None and process.ended.done()
    await process.close()


async def test_one_whose_loop_is_blocked_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started("import time; time.sleep(60)", monkeypatch) as process:
        await process.kill_if_silent(0.01)
        assert await process.ended == -signal.SIGKILL
        await process.kill_if_silent(0.01)
