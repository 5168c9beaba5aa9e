from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path

import pytest

from llmproxy.cli.doctor.examination import DaemonThreads, examine
from llmproxy.config.load import load
from tests.support.waiting import PATIENCE_S


@pytest.mark.parametrize(("host", "offline"), [("llm.test", True), ("localhost", False)])
def test_without_any_provider_beyond_this_machine_it_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, offline: bool
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _unknown)
    base = f'type: openai, api_key: k, base_url: "http://{host}:9/v1"'
    (tmp_path / "x.yaml").write_text(f"providers: [{{name: a, {base}}}, {{name: b, type: stub}}]\n")
    found = {each.check: each for each in examine(load("x.yaml", directory=tmp_path, environ={}), 5)}
    assert ("network" in found) is offline
    assert found["clock"].status == "skipped" and found["dns"].status == "error"


def _unknown(*args: object, **options: object) -> object:
    raise socket.gaierror(-2, "Name or service not known")


def test_nobody_waits_for_a_thread_that_hangs() -> None:
    hanging = threading.Event()

    async def leave() -> None:
        asyncio.get_running_loop().set_default_executor(DaemonThreads())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(hanging.wait, 2 * PATIENCE_S), 0.01)

    began_s = time.monotonic()
    asyncio.run(leave())
    hanging.set()
    assert time.monotonic() - began_s < PATIENCE_S
