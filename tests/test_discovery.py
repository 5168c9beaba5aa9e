from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmproxy import discovery as servers
from llmproxy.discovery import RunningServer
from tests.support.program import Program
from tests.support.provider import Reply, Upstream, silence
from tests.support.special_files import SPECIAL, make_special
from tests.support.waiting import PATIENCE_S, until

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes, and processes that are seen to be gone")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the state files, of this test alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(tmp_path))
    return tmp_path / "llmproxy" / "servers"


@pytest.fixture
def health() -> Iterator[Upstream]:
    """Yield what stands at a server's address: a page with the pid of this process, where a test says nothing."""
    with Upstream(page(pid=os.getpid())) as upstream:
        yield upstream


def page(status: int = 200, /, **members: object) -> Reply:
    return Reply(status=status, pieces=[json.dumps(members).encode()])


def server(url: str, **changes: Any) -> RunningServer:
    given: dict[str, Any] = {
        "pid": os.getpid(),
        "url": url,
        "version": "1.2.3",
        "started": "2026-01-02T03:04:05.678901Z",
        "host": "127.0.0.1",
        "port": 3000,
        "config": "/etc/llmproxy.yaml",
        "traces": ["/var/traces"],
    }
    return RunningServer(**{**given, **changes})


def ended_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def written(state: Path) -> list[str]:
    return sorted(path.name for path in state.iterdir())


def test_an_announced_server_is_found_as_it_was_reported_and_gone_once_withdrawn(state: Path, health: Upstream) -> None:
    here = server(health.url)

    path = servers.register(here)

    assert path == state / f"{os.getpid()}-3000.json"
    assert servers.running_servers() == [here]
    servers.unregister(path)
    assert servers.running_servers() == [] and written(state) == []


def test_the_newest_comes_first(health: Upstream) -> None:
    for port, year in ((1, 2025), (2, 2027), (3, 2026)):
        servers.register(server(health.url, port=port, started=f"{year}-01-01T00:00:00.000000Z"))

    assert [each.port for each in servers.running_servers()] == [2, 3, 1]


@posix
def test_files_are_for_their_owner_alone(state: Path, health: Upstream) -> None:
    state.mkdir(mode=0o755, parents=True)

    path = servers.register(server(health.url))

    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


@posix
def test_a_server_whose_process_is_gone_is_removed_without_being_asked(state: Path, health: Upstream) -> None:
    servers.register(server(health.url, pid=ended_pid()))

    assert servers.running_servers() == [] and written(state) == []
    assert not health.requests


def test_a_process_that_took_over_the_number_is_not_taken_for_a_server(state: Path, health: Upstream) -> None:
    health.next(page(pid=os.getpid() + 1))
    servers.register(server(health.url))

    assert servers.running_servers() == [] and written(state) == []


@pytest.mark.parametrize("says", [{}, {"pid": "7"}, {"pid": None}])
def test_another_program_at_the_address_is_not_taken_for_a_server(
    state: Path, health: Upstream, says: dict[str, object]
) -> None:
    health.next(page(**says))
    servers.register(server(health.url))

    assert servers.running_servers() == [] and written(state) == []


def test_where_nobody_listens_any_more_no_server_runs(state: Path) -> None:
    with Upstream(page()) as upstream:
        url = upstream.url
    servers.register(server(url))

    assert servers.running_servers() == [] and written(state) == []


def test_a_server_that_is_stopping_still_runs(health: Upstream) -> None:
    health.next(page(503, status="stopping", pid=os.getpid()))
    servers.register(server(health.url))

    assert len(servers.running_servers()) == 1


def test_one_that_hangs_is_kept(state: Path, health: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_HEALTH_TIMEOUT_S", 0.05)
    health.next(silence)
    servers.register(server(health.url))

    assert len(servers.running_servers()) == 1 and len(written(state)) == 1


def test_what_runs_on_another_machine_is_neither_listed_nor_removed(state: Path) -> None:
    with Upstream(page()) as upstream:
        url = upstream.url
    servers.register(server(url, pid=ended_pid(), machine="elsewhere"))

    assert servers.running_servers() == [] and len(written(state)) == 1


def test_a_machine_that_changed_its_name_still_finds_its_servers(health: Upstream) -> None:
    servers.register(server(health.url, machine="before.local"))

    assert len(servers.running_servers()) == 1


@posix
def test_a_start_clears_away_what_ended_without_a_word(state: Path, health: Upstream) -> None:
    servers.register(server(health.url, pid=ended_pid()))
    servers.register(server(health.url))

    assert written(state) == [f"{os.getpid()}-3000.json"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff\xfe", b"[" * 100_000, b"null"])
def test_files_that_are_none_of_ours_are_passed_over(state: Path, health: Upstream, text: bytes) -> None:
    servers.register(server(health.url))
    (state / "x.json").write_bytes(text)
    (state / "folder.json").mkdir()

    assert len(servers.running_servers()) == 1
    assert (state / "x.json").exists()


@posix
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_passed_over(state: Path, health: Upstream, kind: str) -> None:
    servers.register(server(health.url))
    make_special(state / "1-1.json", kind)
    found: list[int] = []
    looking = threading.Thread(target=lambda: found.append(len(servers.running_servers())), daemon=True)
    looking.start()
    looking.join(PATIENCE_S)
    assert found == [1]


def test_a_file_of_a_newer_version_is_read_as_far_as_it_is_known(state: Path, health: Upstream) -> None:
    path = servers.register(server(health.url))
    assert path is not None
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "blue"}))

    assert servers.running_servers() == [server(health.url)]


def test_without_any_file_nothing_runs() -> None:
    assert servers.running_servers() == []


def test_where_nothing_can_be_written_nothing_is_announced(state: Path, health: Upstream) -> None:
    state.parent.mkdir()
    state.write_text("a file where the folder should be")

    path = servers.register(server(health.url))

    assert path is None and servers.running_servers() == []
    servers.unregister(path)


def test_a_path_that_depends_on_the_working_directory_is_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "user_state_dir", lambda *_, **__: "~/.local/state/llmproxy")
    monkeypatch.chdir(tmp_path)

    assert servers.register(server("http://127.0.0.1:1")) is None
    assert not list(tmp_path.iterdir()) and servers.running_servers() == []


def files_of(program: Program) -> list[Path]:
    return list(program.directory.rglob("servers/*.json"))


def test_a_program_announces_itself_while_it_runs(tmp_path: Path) -> None:
    with Program(tmp_path, config="providers: [{name: stub, type: stub}]\n") as program:
        (path,) = files_of(program)
        message = json.loads(path.read_text())
        assert (message["pid"], message["url"], message["port"]) == (program.pid, program.url, program.port)
        assert message["config"] == str(tmp_path / "llmproxy.yaml")
        assert program.get("/health").json["pid"] == program.pid
    assert not files_of(program)


@posix
def test_a_program_that_is_killed_leaves_its_file_which_the_next_one_clears(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exit code"), Program(tmp_path) as program:
        program.signal(signal.SIGKILL)
        program.wait()
        assert len(files_of(program)) == 1
    with Program(tmp_path) as program:
        until(lambda: len(files_of(program)) == 1, "the file of the killed one to go")


@posix
@pytest.mark.parametrize("home", ["", "/dev/null", "/proc"])
def test_a_program_serves_without_a_home(tmp_path: Path, home: str) -> None:
    with Program(tmp_path, extra={"HOME": home, "XDG_STATE_HOME": f"{home}/x"}) as program:
        assert program.get("/health").status == 200
