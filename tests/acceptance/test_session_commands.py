"""The commands that show sessions, against the real program: what the proxy recognised, and what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program, run
from tests.support.waiting import until

CONFIG = """
providers: [{name: s, type: stub}]
middlewares: [{type: sessions}, {type: trace}]
"""
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HEADER = "x-llmproxy-session"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("sessions"), config=CONFIG) as started:
        yield started


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)]


def talk(program: Program, first: str) -> str:
    """Three turns, plain, streamed, and in another dialect, until they are counted and written. The session, which is
    one."""
    traces = program.directory / "traces"
    before, said, names = len(list(traces.glob("*/*.json"))), [first], []
    for path, stream in ((CHAT, False), (CHAT, True), (MESSAGES, False)):
        answer = program.post(path, {"model": "s", "max_tokens": 9, "stream": stream, "messages": turns(*said)})
        assert answer.status == 200
        names.append(answer.value(HEADER))
        said += ["stub response", f"{first}, turn {len(names)}"]
    (name,) = set(names)
    assert name is not None
    until(lambda: program.get(f"/sessions/{name}").json["requests"] == 3, "three requests of the session")
    until(lambda: len(list(traces.glob("*/*.json"))) >= before + 3, "three records")
    return name


def show(program: Program, *arguments: str) -> str:
    done = run(*arguments, cwd=program.directory)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_sessions_are_listed_and_shown(program: Program) -> None:
    name = talk(program, "What is a session")

    listed: dict[str, Any] = json.loads(show(program, "sessions", "--json"))
    (found,) = [each for each in listed["sessions"] if each["id"] == name]
    assert (found["requests"], found["models"]) == (3, ["s"])
    assert name in show(program, "sessions") and " active  " in show(program, "sessions")
    assert "requests   3\n" in show(program, "sessions", name)
    done = run("sessions", "s_none", cwd=program.directory)
    assert done.returncode == 1 and "no session 's_none'" in done.stderr


def test_a_session_is_read_as_one_conversation(program: Program) -> None:
    name, other = talk(program, "One"), talk(program, "Two")

    lines = show(program, "trace", "ls", "--session", name, "--json").splitlines()
    assert [json.loads(line)["session"] for line in lines] == [name] * 3 and other != name
    told = show(program, "trace", "show", "--session", name)
    said = [line for line in told.splitlines() if line.startswith("  ")]
    assert said == [
        *("  user", "    One", "  assistant", "    stub response"),
        *("  user", "    One, turn 1", "  assistant", "    stub response"),
        *("  user", "    One, turn 2", "  assistant", "    stub response"),
    ]


def test_without_the_middleware_it_is_told_how_to_switch_it_on(tmp_path: Path) -> None:
    with Program(tmp_path) as bare:
        done = run("sessions", "--url", bare.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "") and "type: sessions" in done.stderr
