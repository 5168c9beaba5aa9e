from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmproxy.cli.doctor import machine
from llmproxy.cli.doctor.diagnosis import Diagnosis
from llmproxy.cli.doctor.machine import check_clock, check_machine, check_stores
from llmproxy.config.load import load
from llmproxy.discovery import RunningServer
from tests.support.redis_server import RedisServer

STUB = "providers: [{name: stub, type: stub}]\n"


def found(directory: Path, text: str = "", running: Sequence[RunningServer] = ()) -> dict[str, Diagnosis]:
    (directory / "x.yaml").write_text(STUB + text)
    config = load("x.yaml", directory=directory, environ={}).checked()
    return {each.check: each for each in check_machine(config, running)}


def running(port: int) -> RunningServer:
    return RunningServer(pid=77, url="", version="", started="", host="127.0.0.1", port=port)


def test_outgoing_proxies_are_shown_without_their_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:hidden@proxy.test:3128")
    monkeypatch.setenv("no_proxy", "localhost")
    shown = found(tmp_path)["proxy"].detail
    assert "HTTPS_PROXY=http://proxy.test:3128" in shown and "NO_PROXY=localhost" in shown and "hidden" not in shown


def test_the_trust_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = str(Path(__file__).parent.parent.parent / "support" / "certificates" / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    assert f"SSL_CERT_FILE ({authority})" in found(tmp_path)["trust store"].detail


@pytest.mark.skipif(sys.platform != "linux", reason="others have a store of the system beside it")
def test_a_trust_store_that_is_no_certificate_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rubbish.pem").write_text("rubbish")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "rubbish.pem"))
    monkeypatch.setattr(machine, "trust", lambda file: (_ for _ in ()).throw(OSError(2, "no such file")))
    finding = found(tmp_path)["trust store"]
    assert finding.status == "error" and "SSL_CERT_FILE" in finding.fix


@pytest.mark.parametrize(
    ("drifts_s", "status", "words"),
    [
        ([], "skipped", "no provider"),
        ([4000.0, -0.4], "ok", "agrees"),
        ([90.0], "warning", "90 s ahead of"),
        ([-400.0, -900.0], "error", "400 s behind"),
    ],
)
def test_the_clock_is_compared_with_the_nearest(drifts_s: list[float], status: str, words: str) -> None:
    finding = check_clock(drifts_s)
    assert finding.status == status and words in finding.detail
    assert bool(finding.fix) == (status in ("warning", "error"))


def test_a_port_is_free_taken_or_our_own(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f"server: {{port: {port}}}\n"
        assert found(tmp_path, text)["port"].status == "error"
        assert "process 77" in found(tmp_path, text, [running(port)])["port"].detail
        other = found(tmp_path, f"telemetry: {{prometheus_port: {port}}}\nserver: {{port: 0}}\n", [running(1)])
    assert other["metrics port"].status == "error" and "prometheus_port" in other["metrics port"].fix
    assert other["port"].detail == "any free one"
    assert found(tmp_path, text)["port"].detail == f"127.0.0.1:{port} is free"


def test_places_on_the_disk_are_tried_and_nothing_is_left(tmp_path: Path) -> None:
    before = {"x.yaml", "file"}
    (tmp_path / "file").write_text("")
    text = f"middlewares: [{{type: trace, config: {{directory: {tmp_path}/a/b}}}}]\n"
    assert found(tmp_path, text)["disk"].status == "ok"
    text = f"middlewares: [{{type: audit, config: {{path: {tmp_path}/file/b}}}}]\n"
    assert found(tmp_path, f"{text}logging: {{file: {tmp_path}/log}}\n")["disk"].detail.startswith("log: ")
    assert {each.name for each in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written_or_is_nearly_full_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"stores: {{s: {{type: disk, path: {tmp_path}/s.sqlite}}}}\n"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 1000))
    assert found(tmp_path, text)["disk"].status == "warning"

    def refuse(**options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    finding = found(tmp_path, text)["disk"]
    assert finding.status == "error" and finding.detail.endswith("permission denied") and finding.fix


def test_too_few_open_files_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "raise_file_limit", lambda: None)
    monkeypatch.setattr(machine, "file_limit", lambda: 1024)
    finding = found(tmp_path)["open files"]
    assert finding.status == "warning" and "ulimit" in finding.fix
    monkeypatch.setattr(machine, "file_limit", lambda: None)
    assert found(tmp_path)["open files"].detail == "no limit"


def stores(directory: Path, url: str) -> Diagnosis:
    (directory / "x.yaml").write_text(f'{STUB}stores: {{r: "{url}", d: disk, m: memory}}\n')
    (finding,) = asyncio.run(check_stores(load("x.yaml", directory=directory, environ={}).checked(), 5))
    return finding


def test_a_store_that_answers_is_fine(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        finding = stores(tmp_path, server.url)
    assert finding.status == "ok" and "answers after" in finding.detail


def test_a_store_that_does_not_answer_is_reported_without_its_password(tmp_path: Path) -> None:
    finding = stores(tmp_path, "redis://:hidden@127.0.0.1:1/0")
    assert finding.status == "error" and "127.0.0.1:1" in finding.detail and finding.fix
    assert "hidden" not in f"{finding}"
