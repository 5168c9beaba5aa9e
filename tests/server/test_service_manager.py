"""What a service manager is told, and the socket that it passes; systemd is played by a datagram socket."""

from __future__ import annotations

import configparser
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmproxy.server.service_manager import ServiceManager, passed_socket
from tests.support.program import ROOT, clean_environment
from tests.support.raw_http import RawClient
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no systemd on Windows")
UNIT = ROOT / "configs" / "deploy" / "llmproxy.service"
CONFIG = "providers: [{name: s, type: stub}]\nserver: {reload_on_change: false}\n"
# As systemd does: the socket is descriptor 3, and LISTEN_PID the process that execs.
PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[2]}
os.execv(sys.executable, [sys.executable, "-m", "llmproxy", "serve", "--config", "llmproxy.yaml"])
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        yield manager


def start(directory: Path, listener: socket.socket, count: str = "1") -> subprocess.Popen[str]:
    (directory / "llmproxy.yaml").write_text(CONFIG)
    notify = {"NOTIFY_SOCKET": str(directory / "notify"), "WATCHDOG_USEC": "60000000"}
    return subprocess.Popen(
        [sys.executable, "-c", PASS, str(listener.fileno()), count],
        cwd=directory,
        env=clean_environment(directory, notify),
        pass_fds=[listener.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    )


def received(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().splitlines()


def test_it_says_that_it_is_ready_reloads_and_stops_and_serves_the_passed_socket(
    tmp_path: Path, manager: socket.socket
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, start(tmp_path, listener) as process:
        port = listener.getsockname()[1]
        assert received(manager) == ["READY=1", f"STATUS=serving http://127.0.0.1:{port}", f"MAINPID={process.pid}"]
        assert received(manager) == ["WATCHDOG=1"]
        with RawClient(("127.0.0.1", port)) as client:
            client.request("GET", "/health")
            assert client.read_answer("GET").status == 200

        process.send_signal(signal.SIGHUP)
        assert [line.partition("=")[0] for line in received(manager)] == ["RELOADING", "MONOTONIC_USEC"]
        assert received(manager) == ["READY=1"]
        (tmp_path / "llmproxy.yaml").write_text("nonsense")
        process.send_signal(signal.SIGHUP)
        assert received(manager)[0] == "RELOADING=1"
        assert received(manager) == ["READY=1"], "a bad file leaves it ready"

        process.send_signal(signal.SIGTERM)
        assert received(manager)[0] == "STOPPING=1"
        assert process.wait(PATIENCE_S) == 0


def test_several_passed_sockets_stop_the_start(tmp_path: Path, manager: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, start(tmp_path, listener, "2") as process:
        assert process.wait(PATIENCE_S) == 1
        assert process.stderr is not None and "has passed 2 sockets; keep one ListenStream=" in process.stderr.read()


def test_without_a_service_manager_nothing_is_sent_or_taken() -> None:
    ServiceManager({}).notify("READY=1")
    assert passed_socket({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) is None


def test_a_one_file_executable_is_the_child_of_the_process_that_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getppid())}
    assert ServiceManager({**environ}).watchdog_s is None
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert ServiceManager({**environ}).watchdog_s == 60


def test_its_variables_are_not_for_children() -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "LISTEN_PID": "1", "LISTEN_FDS": "1", "HOME": "/"}
    ServiceManager(environ)
    passed_socket(environ)
    assert environ == {"HOME": "/"}


def test_a_manager_that_is_gone_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/notify"}).notify("READY=1")
    assert "cannot be notified" in caplog.text


def test_the_unit_file_calls_what_there_is() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation says
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name == "llmproxy" and arguments == ["serve", "--config", "/etc/llmproxy/llmproxy.yaml"]
    assert (service["Type"], service["ExecReload"]) == ("notify", "/bin/kill -HUP $MAINPID")
    assert service["NotifyAccess"] == "all", "a one-file executable is two processes"
    assert int(service["TimeoutStopSec"]) > 35, "shutdown_timeout and the time for closing"
