from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from llmproxy.cli.trace.tail import TraceTail
from llmproxy.records.filters import parse_filters
from llmproxy.records.trace_reader import TraceReader
from tests.support.program import clean_environment, run
from tests.support.records import write
from tests.support.terminal import Terminal
from tests.support.traffic import TRAFFIC
from tests.support.waiting import PATIENCE_S, until

posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")


@contextmanager
def piped(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "llmproxy", "trace", "tail", *arguments]
    environment = clean_environment(directory)
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_filter_finds_old_records_among_many_others(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path, number, model="rare" if number < 3 else "usual")
    tail = TraceTail(TraceReader(str(tmp_path)), Console(), parse_filters(["model=rare"]), as_json=True)
    assert [entry.id for entry in tail.newest(2)] == ["000001aaaa", "000002aaaa"]


def test_after_a_resize_the_last_rows_are_drawn_again_within_the_window(tmp_path: Path) -> None:
    window = io.StringIO()
    console = Console(file=window, force_terminal=True, width=160, height=20, color_system=None)
    for number, changes in enumerate(TRAFFIC):
        write(tmp_path, number, **changes)
    tail = TraceTail(TraceReader(str(tmp_path)), console, parse_filters([]), as_json=False)
    tail.run(20, follow=False)
    assert max(map(cell_len, window.getvalue().splitlines())) > 80
    window.truncate(window.seek(0))

    console.width = 80
    tail._redraw(5)

    drawn = Text.from_ansi(window.getvalue()).plain.splitlines()
    assert [line.split()[1] for line in drawn if line] == ["id", "000007", "000008", "000009", "00000a", "00000b"]
    assert max(map(cell_len, drawn)) <= 80


def test_in_a_pipe_it_ends_without_follow(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / "t", number)
    done = run("trace", "tail", "t", "-n", "5", "--json", cwd=tmp_path)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [f"{n:06x}aaaa" for n in range(25, 30)]
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("flag", ["-f", "--follow"])
def test_in_a_pipe_each_new_line_comes_at_once_and_plain(tmp_path: Path, flag: str) -> None:
    with piped(tmp_path, "not-yet", flag) as process:
        assert process.stdout and process.stderr
        assert "waiting for exchanges" in process.stderr.readline()
        write(tmp_path / "not-yet", 1, status=500, session="\x1b[31mred")
        lines = process.stdout.readline(), process.stdout.readline()
        assert lines[0].startswith("time")
        assert " 000001 500 " in lines[1] and "\\x1b[31mred" in lines[1]
        assert "\x1b" not in "".join(lines)


@posix
def test_interrupted_in_a_pipe_it_reports_what_it_could_not_read(tmp_path: Path) -> None:
    write(tmp_path / "t", 1)
    write(tmp_path / "t", 2).write_text("no record")
    with piped(tmp_path, "t", "--follow") as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output = process.stderr.read()
        assert process.wait(PATIENCE_S) == 0
    assert "cannot read 1 record" in output and "Traceback" not in output


@posix
def test_a_reader_that_leaves_ends_it_silently(tmp_path: Path) -> None:
    for number in range(3000):
        write(tmp_path / "t", number % 3000, id=f"{number:06x}aaaa")
    command = f"{sys.executable} -m llmproxy trace ls t -n 3000 | head -1"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=clean_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("time") and done.stderr == ""


@posix
def test_on_a_terminal_it_follows_over_a_resize_and_days_and_ends_clean(tmp_path: Path) -> None:
    directory = tmp_path / "t"
    write(directory, 1)
    with Terminal(tmp_path, "trace", "tail", "t") as window:
        window.wait_for("000001")
        write(directory, 2, status=503)
        window.wait_for("000002")
        assert "\x1b[31m" in window.raw  # red
        assert "/v1/chat" not in window.text
        window.resize(160, 24)
        write(directory, 3, started="2026-01-03T00:00:00.000000Z")
        window.wait_for("/v1/chat/completions")
        window.press("\x03")
        assert window.wait() == 0
        until(lambda: window.raw.rfind("\x1b[?25h") > window.raw.rfind("\x1b[?25l"), "the cursor to come back")
