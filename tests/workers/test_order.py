from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from llmproxy.config.load import Loaded, load, load_from_python
from llmproxy.errors import ProxyError
from llmproxy.workers import order as orders
from llmproxy.workers.order import Order, receive_order, send_order, start_process, worker_command, worker_environment
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has one worker")


def order_of(loaded: Loaded) -> Order:
    assert loaded.source is not None
    return Order(number=1, count=2, pid=7, started_s=1.5, source=loaded.source, dotenv={}, path=sys.path)


def passed_on(order: Order) -> Order:
    """Return the order as a worker gets it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asyncio.run(send_order(ours, order))
        return receive_order(theirs)


def test_a_worker_loads_the_same_file_with_the_same_flags(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text("providers: [{name: a, type: stub}]\nserver: {workers: 2, port: 0}\n")
    loaded = load(None, environ={"LOG_LEVEL": "error"}, directory=tmp_path)
    again = passed_on(order_of(loaded)).source()
    assert again.config == loaded.config and again.checked().logging.level == "error"


def test_a_worker_gets_a_configuration_from_python_whole(tmp_path: Path) -> None:
    given = {"providers": [{"name": "a", "type": "stub"}], "server": {"max_body_size": "1MB"}}
    loaded = load_from_python(given, {"workers": 2, "port": 0}, environ={}, directory=tmp_path)
    assert passed_on(order_of(loaded)).source().config == loaded.config


async def test_a_configuration_that_no_other_process_can_have_is_refused() -> None:
    order = Order(number=1, count=2, pid=7, started_s=1.5, source=lambda: load(), dotenv={}, path=[])
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ProxyError, match="use one worker"):
        await send_order(ours, order)


def test_a_parent_that_is_gone_gives_no_order() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(EOFError):
        receive_order(theirs)


def test_a_worker_is_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_command((5, 6)) == [sys.executable, "-P", "-m", "llmproxy", "worker", "5", "6"]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/llmproxy")
    assert worker_command((5, 6)) == ["/opt/llmproxy", "worker", "5", "6"]
    assert worker_environment({"A": "b"}) == {"A": "b"}, "an executable brings its own modules"


def test_it_finds_the_package_where_this_process_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(orders.__file__).parent.parent.parent)
    assert worker_environment({})["PYTHONPATH"] == root
    assert worker_environment({"PYTHONPATH": "/x"})["PYTHONPATH"] == f"{root}{os.pathsep}/x"
    assert worker_environment({"PYTHONPATH": f"/x{os.pathsep}{root}"})["PYTHONPATH"] == f"/x{os.pathsep}{root}"
    monkeypatch.setattr(orders, "__file__", "/usr/lib/python3/site-packages/llmproxy/workers/order.py")
    assert worker_environment({}) == {}


def test_it_gets_its_two_sockets_and_signals_of_the_terminal_do_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sys; [os.fstat(int(each)) for each in sys.argv[2:]]; sys.exit(os.getpgrp() != os.getpid())"

    def command(descriptors: tuple[int, int]) -> list[str]:
        return [sys.executable, "-S", "-c", code, "worker", *map(str, descriptors)]

    monkeypatch.setattr(orders, "worker_command", command)
    one, other = socket.socketpair()
    with one, other:
        process: subprocess.Popen[bytes] = start_process(one, other)
        assert process.wait(PATIENCE_S) == 0
