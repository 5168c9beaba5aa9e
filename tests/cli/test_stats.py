from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.program import Program, clean_environment, run
from tests.support.provider import Reply, Upstream
from tests.support.terminal import Terminal

ASK = {"model": "stub", "messages": [{"role": "user", "content": "Hello"}]}
CHAT = "/v1/chat/completions"

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("stats")) as program:
        assert program.post(CHAT, ASK).status == 200
        yield program


def test_without_a_server_it_says_so_and_what_to_do(tmp_path: Path) -> None:
    done = run("stats", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "llmproxy: no running server found; start one with `llmproxy serve`, "
        "or pass its address: --url http://127.0.0.1:3000\n"
    )


@pytest.mark.parametrize("flags", [(), ("--once",)])
def test_it_finds_the_server_and_shows_it_once_in_a_pipe(server: Program, flags: tuple[str, ...]) -> None:
    done = run("stats", *flags, cwd=server.directory)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("llmproxy ") and server.url in done.stdout
    assert "\n  stub " in done.stdout and "\x1b" not in done.stdout


def test_a_url_names_the_server(server: Program, tmp_path: Path) -> None:
    done = run("stats", "--url", f"127.0.0.1:{server.port}", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "") and "\n  stub " in done.stdout


def test_json_is_one_document(server: Program) -> None:
    done = run("stats", "--json", "--by", "client", "--by", "session", cwd=server.directory)

    shown = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown["providers"]["stub"]["models"]["stub"]["requests"] >= 1
    assert [row["client"] for row in shown["clients"]] == ["127.0.0.1"] and shown["sessions"] == []


def test_clients_are_shown_when_asked_for(server: Program) -> None:
    assert "clients: 1" in run("stats", "--by", "client", cwd=server.directory).stdout
    assert "clients" not in run("stats", cwd=server.directory).stdout


def test_of_several_servers_it_shows_the_newest_and_names_all(tmp_path: Path) -> None:
    with Program(tmp_path) as first, Program(tmp_path) as second:
        done = run("stats", "--json", cwd=tmp_path)

    assert json.loads(done.stdout)["pid"] == second.pid
    lines = done.stderr.splitlines()
    assert lines[0] == "2 servers are running; using the newest. Choose another one with --url:"
    assert [line.split()[0] for line in lines[1:]] == [second.url, first.url]


def test_the_server_of_this_folder_goes_before_a_newer_one(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for each in (here, elsewhere):
        each.mkdir()
    config = "providers: [{name: stub, type: stub}]\n"
    with Program(here, config=config, extra=home) as older, Program(elsewhere, config=config, extra=home):
        done = run("stats", "--json", cwd=here, extra=home)

    assert json.loads(done.stdout)["pid"] == older.pid
    assert done.stderr.startswith("2 servers are running; using that of this folder.")


@pytest.mark.skipif(sys.platform == "win32", reason="kills")
def test_a_server_that_was_killed_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exit code"), Program(tmp_path) as program:
        program.signal(signal.SIGKILL)
        program.wait()
        assert "no running server found" in run("stats", cwd=tmp_path).stderr
    assert not list(tmp_path.rglob("servers/*.json"))


@pytest.mark.parametrize(
    "flags", [("--url", "ftp://x"), ("--url", "http://127.0.0.1:1"), ("--url", "http://127.0.0.1:1", "--json")]
)
def test_what_cannot_be_asked_ends_with_1_and_one_line(tmp_path: Path, flags: tuple[str, ...]) -> None:
    done = run("stats", *flags, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("llmproxy: ") and done.stderr.count("\n") == 1


def test_https_to_a_server_without_tls_is_reported(server: Program, tmp_path: Path) -> None:
    done = run("stats", "--url", f"https://127.0.0.1:{server.port}", cwd=tmp_path)

    assert done.returncode == 1 and "does not speak TLS; try http:// instead" in done.stderr


@pytest.mark.parametrize("page", [b'{"hello": 1}', b"[]", b"<html>"])
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_another_program_is_reported_apart(tmp_path: Path, page: bytes, flags: tuple[str, ...]) -> None:
    with Upstream(Reply(pieces=[page])) as upstream:
        done = run("stats", "--url", upstream.url, *flags, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "") and "not an llmproxy server" in done.stderr


def test_a_server_of_another_version_is_shown_as_far_as_it_is_understood(tmp_path: Path) -> None:
    page = {"version": "9.9", "uptime_seconds": 1, "providers": {"p": {"requests": {}, "models": {"m": {}}}}}
    with Upstream(Reply(pieces=[json.dumps(page).encode()])) as upstream:
        done = run("stats", "--url", upstream.url, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("llmproxy 9.9")


@pytest.mark.parametrize(
    "flags", [("--interval", "soon"), ("--interval", "0"), ("--interval", "9d"), ("--by", "model")]
)
def test_what_no_option_takes_is_wrong_usage(tmp_path: Path, flags: tuple[str, ...]) -> None:
    assert run("stats", *flags, cwd=tmp_path).returncode == 2


@posix
def test_in_a_terminal_it_is_refreshed_until_ctrl_c(server: Program) -> None:
    with Terminal(server.directory, "stats", "--interval", "100ms") as terminal:
        terminal.wait_for("provider / model")
        before = server.get("/stats").json["requests"]["total"]
        server.post(CHAT, ASK)
        terminal.wait_for(f"\n{before + 1} requests")
        terminal.press("\x03")
        assert terminal.wait() == 0
    assert terminal.raw.endswith("\x1b[?25h") or "\x1b[?25h" in terminal.raw[-200:], "the cursor is shown again"
    assert "\x1b[?1049h" not in terminal.raw, "no alternate screen"


@posix
def test_once_in_a_terminal_ends_by_itself(server: Program) -> None:
    with Terminal(server.directory, "stats", "--once") as terminal:
        assert terminal.wait() == 0
    assert terminal.text.count("provider / model") == 1


@posix
def test_json_in_a_terminal_ends_by_itself(server: Program) -> None:
    with Terminal(server.directory, "stats", "--json") as terminal:
        assert terminal.wait() == 0
    assert json.loads(terminal.text)["version"]


@posix
def test_a_dumb_terminal_gets_it_once(server: Program) -> None:
    with Terminal(server.directory, "stats", extra={"TERM": "dumb"}) as terminal:
        assert terminal.wait() == 0
    assert "provider / model" in terminal.raw and "\x1b" not in terminal.raw


@posix
def test_it_follows_the_size_of_the_window_without_waiting(server: Program) -> None:
    with Terminal(server.directory, "stats", "--interval", "1h", columns=80) as terminal:
        terminal.wait_for("errors")
        assert " over " not in terminal.text
        terminal.resize(140, 40)
        terminal.wait_for(" over ")
        terminal.press("\x03")
        assert terminal.wait() == 0


@posix
def test_a_server_that_goes_away_is_waited_for_and_found_again(tmp_path: Path) -> None:
    with Program(tmp_path) as first:
        terminal = Terminal(tmp_path, "stats", "--interval", "100ms")
        with terminal:
            terminal.wait_for("provider / model")
            first.signal(signal.SIGTERM)
            terminal.wait_for("no server at")
            terminal.wait_for("trying again")
            with Program(tmp_path) as second:
                assert second.port != first.port
                terminal.wait_for(f"http://127.0.0.1:{second.port}")
                terminal.signal(signal.SIGTERM)
                assert terminal.wait() == 0
    assert "\x1b[?25h" in terminal.raw


@posix
def test_ctrl_c_before_the_first_answer_ends_it_too(tmp_path: Path) -> None:
    with Upstream(Reply()) as upstream:
        upstream.hold()
        with Terminal(tmp_path, "stats", "--url", upstream.url) as terminal:
            held = upstream.take()
            terminal.press("\x03")
            assert terminal.wait() == 0
        held.fin()


@posix
def test_a_reader_that_leaves_early_is_no_fault_of_ours(server: Program) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "llmproxy", "stats"],
            cwd=server.directory,
            env=clean_environment(server.directory),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert "Traceback" not in done.stderr
