from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from llmproxy.console.terminal import Console
from tests.support.waiting import until


def stream(descriptor: int, encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(descriptor, "w"), encoding=encoding)


def test_lines_are_written_at_once_when_they_are_flushed(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        console = Console(out)
        console.add("one")
        console.add("zwei ü")
        assert (tmp_path / "out").read_bytes() == b""
        console.flush()
        console.flush()
        assert (tmp_path / "out").read_text(encoding="utf-8") == "one\nzwei ü\n"


@pytest.mark.parametrize(("encoding", "expected"), [("cp1252", b"gr\xfc\xdfe ??\n"), ("ascii", b"gr??e ??\n")])
def test_what_the_encoding_lacks_is_a_question_mark(tmp_path: Path, encoding: str, expected: bytes) -> None:
    with (tmp_path / "out").open("w", encoding=encoding) as out:
        console = Console(out)
        console.add("grüße 你好")
        console.flush()
    assert (tmp_path / "out").read_bytes() == expected


def test_a_stream_without_a_descriptor_is_written_to_all_the_same() -> None:
    out = io.StringIO()
    console = Console(out)
    console.add("a line")
    console.flush()
    assert out.getvalue() == "a line\n"


def test_a_closed_output_is_an_os_error_and_the_lines_are_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with stream(writing) as out:
        console = Console(out)
        console.add("x")
        with pytest.raises(BrokenPipeError):
            console.flush()
        console.flush()
    closed = io.StringIO()
    closed.close()
    for nowhere in (None, closed):
        console = Console(nowhere)
        assert not console.terminal
        console.add("x")
        with pytest.raises(OSError, match="closed"):
            console.flush()


@pytest.mark.skipif(os.name == "nt", reason="pipes of Windows block always")
def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "x" * 300_000
    with stream(writing) as out, open(reading, "rb") as other_end:
        console = Console(out)
        console.add(text)
        thread = threading.Thread(target=console.flush)
        thread.start()
        assert other_end.read(300_001) == text.encode() + b"\n"
        until(lambda: not thread.is_alive(), "all to be written")
        thread.join()


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
@pytest.mark.parametrize(
    ("environ", "expected"),
    [({"TERM": "xterm"}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_of_people_who_want_them(environ: dict[str, str], expected: bool) -> None:
    leader, follower = os.openpty()
    with stream(follower) as out:
        console = Console(out, environ)
        assert (console.terminal, console.colours) == (True, expected)
    os.close(leader)


def test_there_are_no_colours_in_files(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        console = Console(out, {"TERM": "xterm"})
        assert (console.terminal, console.colours) == (False, False)
