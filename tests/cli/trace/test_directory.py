from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmproxy import discovery as servers
from llmproxy.cli.trace.directory import TracesNotFound, explain_empty, find_directory, server_writing_to
from llmproxy.discovery import RunningServer
from tests.support.provider import Reply, Upstream

CONFIG = "middlewares: [{type: trace, config: {directory: %s}}]\nproviders: [{name: s, type: %s}]\n"


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with nothing in it, and a user without servers."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(tmp_path / "state"))
    return here


@pytest.fixture
def server() -> Iterator[Upstream]:
    with Upstream(Reply(pieces=[json.dumps({"pid": os.getpid()}).encode()])) as upstream:
        yield upstream


def announce(upstream: Upstream, *traces: Path) -> None:
    here = RunningServer(
        pid=os.getpid(),
        url=upstream.url,
        version="1",
        started="2026-01-02T03:04:05Z",
        host="127.0.0.1",
        port=3000,
        traces=[str(each) for each in traces],
    )
    assert servers.register(here)


def test_a_directory_that_is_named_is_taken(empty: Path) -> None:
    (empty / "x").mkdir()
    assert find_directory("x") == str(empty / "x")


def test_the_database_in_a_directory_stands_for_it(empty: Path) -> None:
    (empty / "x").mkdir()
    (empty / "x" / "traces.sqlite").touch()
    assert find_directory("x/traces.sqlite") == str(empty / "x")
    assert find_directory("later", waits=True) == str(empty / "later")


def test_a_running_server_comes_before_a_configuration_and_that_before_the_usual_place(
    empty: Path, server: Upstream
) -> None:
    for name in ("traces", "configured"):
        (empty / name).mkdir()
    assert find_directory(None) == str(empty / "traces")
    (empty / "llmproxy.yaml").write_text(CONFIG % ("configured", "stub"))
    assert find_directory(None) == str(empty / "configured")
    announce(server, empty / "served")
    assert find_directory(None) == str(empty / "served")
    assert server_writing_to("served") == server.url
    assert server_writing_to("configured") is None


def test_several_directories_of_servers_are_reported(
    empty: Path, server: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(server, empty / "one", empty / "two")
    assert find_directory(None) == str(empty / "one")
    assert "two" in capsys.readouterr().err


def test_a_configuration_that_could_not_start_names_the_directory_too(empty: Path) -> None:
    (empty / "configured").mkdir()
    broken = CONFIG % ("configured", 'openai, api_key: "${NOT_SET_ANYWHERE}"')
    (empty / "config.yaml").write_text(broken)
    assert find_directory(None) == str(empty / "configured")


def test_nothing_is_reported_with_how_to_turn_it_on(empty: Path, server: Upstream) -> None:
    with pytest.raises(TracesNotFound, match=r"no traces found.*serve --trace.*type: trace"):
        find_directory(None)
    with pytest.raises(TracesNotFound, match=r"directory not found: x; .*serve --trace"):
        find_directory("x")
    announce(server)
    with pytest.raises(TracesNotFound, match=f"the server at {server.url} writes no traces"):
        find_directory(None)
    (empty / "llmproxy.yaml").write_text(CONFIG % ("configured", "stub"))
    with pytest.raises(TracesNotFound, match=r"no traces yet: the configured directory"):
        find_directory(None)


def test_a_file_is_no_directory(empty: Path) -> None:
    (empty / "x").touch()
    with pytest.raises(TracesNotFound, match="x is a file, not a directory; `llmproxy trace show x`"):
        find_directory("x", waits=True)


def test_tracing_that_has_recorded_nothing_yet_is_told_apart_from_no_tracing(empty: Path, server: Upstream) -> None:
    assert "enable tracing" in explain_empty(str(empty / "x"))
    announce(server, empty / "x")
    assert explain_empty(str(empty / "x")).startswith(f"tracing is on, but {server.url} has recorded nothing yet in ")
