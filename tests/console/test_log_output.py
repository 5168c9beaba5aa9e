from __future__ import annotations

import json
import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmproxy.console.log_output import LogFile, LogHandler, set_up_logging
from llmproxy.errors import ProxyError


@pytest.fixture
def handlers() -> Iterator[list[LogHandler]]:
    """Handlers that a test adds to the root logger, and that are taken away again."""
    added: list[LogHandler] = []
    root, level = logging.getLogger(), logging.getLogger("llmproxy").level
    yield added
    for each in added:
        root.removeHandler(each)
        each.close()
    logging.getLogger("llmproxy").setLevel(level)


def test_a_full_file_is_renamed_and_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "proxy.log"
    file = LogFile(str(path), 10, 2)
    for number in range(5):
        file.write(f"line {number}\n")
    file.close()
    assert {each.name: each.read_text() for each in path.parent.iterdir()} == {
        "proxy.log": "line 4\n",
        "proxy.log.1": "line 3\n",
        "proxy.log.2": "line 2\n",
    }
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_a_file_goes_on_where_an_earlier_process_ended(tmp_path: Path) -> None:
    path = tmp_path / "proxy.log"
    for number in range(3):
        file = LogFile(str(path), 15, 0)
        file.write(f"line {number}\n")
        file.close()
    assert path.read_text() == "line 2\n", "the third did not fit, and no backup was wanted"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has one worker")
def test_several_processes_write_to_one_file_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "proxy.log"
    files = [LogFile(str(path), 100, 20) for _ in range(3)]
    expected = []
    for number in range(90):
        expected.append(f"line {number:03}")
        files[number % 3].write(expected[-1] + "\n")
    for each in files:
        each.close()
    found = [each.read_text() for each in path.parent.iterdir()]
    assert sorted(line for text in found for line in text.splitlines()) == expected
    assert all(len(text) <= 100 for text in found) and len(found) == 9


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be renamed there")
def test_a_file_that_another_program_has_renamed_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "proxy.log"
    file = LogFile(str(path), 1000, 1)
    file.write("one\n")
    path.rename(tmp_path / "proxy.log.old")
    file.write("two\n")
    file.close()
    assert path.read_text() == "two\n"


def test_a_place_that_can_never_be_a_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ProxyError, match=r"logging\.file: cannot write to .*choose another file"):
        LogFile(str(tmp_path), 10, 1)


def test_messages_go_to_the_file_in_the_chosen_form(tmp_path: Path, handlers: list[LogHandler]) -> None:
    path = tmp_path / "proxy.log"
    handler = set_up_logging(level="info", form="json", file=str(path), max_bytes=1000)
    assert handler is not None
    handlers.append(handler)
    logging.getLogger("llmproxy.x").info("%d lost", 3)
    line = json.loads(path.read_text())
    assert (line["level"], line["logger"], line["message"]) == ("info", "llmproxy.x", "3 lost")


def test_a_program_that_logs_keeps_its_own_handlers(handlers: list[LogHandler]) -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    assert set_up_logging(level="info") is None


def test_a_full_disk_loses_messages_and_is_said_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "proxy.log"), 1000, 0)
    handler = LogHandler(file)
    file.close()
    for _ in range(3):
        handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, "message", (), None))
    assert capsys.readouterr().err == "llmproxy: log messages are lost: bad file descriptor\n"
