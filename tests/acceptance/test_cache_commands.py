"""The commands that show and clear the cache, against the real program: on its machine, and from behind a proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program, run
from tests.support.provider import Call, Script, Upstream
from tests.support.waiting import until

CONFIG = """
server: {admin_key: secret-key}
providers: [{name: s, type: stub}]
middlewares: [{type: cache}]
"""
CHAT = "/v1/chat/completions"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path, config=CONFIG) as started:
        yield started


def ask(program: Program, text: str, model: str = "s") -> str:
    """Return the key of the answer, kept or not."""
    body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": text}]}
    answer = program.post(CHAT, body)
    key = answer.value("x-llmproxy-cache-key")
    assert answer.status == 200 and key is not None
    return key


def hit(program: Program, text: str, model: str = "s") -> bool:
    body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": text}]}
    return program.post(CHAT, body).value("x-cache") == "hit"


def kept(program: Program, count: int) -> dict[str, Any]:
    """Return what the cache says of itself once it keeps `count` answers."""
    until(lambda: program.get("/cache").json["entries"] == count, f"{count} kept answers")
    figures: dict[str, Any] = json.loads(run("cache", "stats", "--json", cwd=program.directory).stdout)
    return figures


def clear(program: Program, *arguments: str) -> str:
    done = run("cache", "clear", *arguments, cwd=program.directory)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.ledger("K5")
def test_all_answers_those_of_a_model_and_one_are_cleared(program: Program) -> None:
    one = ask(program, "one")
    ask(program, "two")
    ask(program, "three", model="s/other")
    ask(program, "four", model="s/other")
    assert kept(program, 4)["stored"] == 4
    assert hit(program, "one") and hit(program, "three", "s/other")

    assert "holds     4 answers of " in run("cache", "stats", cwd=program.directory).stdout
    assert clear(program, "--key", one) == "cleared 1 answer\n"
    assert not hit(program, "one") and hit(program, "two")
    kept(program, 4)
    assert clear(program, "--model", "s/other") == "cleared 2 answers\n"
    assert hit(program, "two") and clear(program) == "cleared 2 answers\n"
    assert kept(program, 0)["entries"] == 0
    done = run("cache", "clear", "--key", one, cwd=program.directory)
    assert done.returncode == 1 and f"no answer with the key {one!r}" in done.stderr


def through(program: Program) -> Script:
    """Return what stands before a server on its own machine, and says for whom it asks."""

    async def pass_on(call: Call) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
        line, end, rest = call.request.head.partition(b"\r\n")
        writer.write(line + end + b"X-Forwarded-For: 192.0.2.1\r\n" + rest)
        await call.send(await reader.read())
        writer.close()
        call.connection.fin()

    return pass_on


def test_from_elsewhere_it_is_cleared_with_the_admin_key_alone(program: Program, tmp_path: Path) -> None:
    ask(program, "one")
    kept(program, 1)
    with Upstream(through(program)) as front:
        refused = run("cache", "clear", "--url", front.url, cwd=tmp_path)
        wrong = run("cache", "clear", "--url", front.url, "--admin-key", "x", cwd=tmp_path)
        right = run("cache", "clear", "--url", front.url, cwd=tmp_path, extra={"LLMPROXY_ADMIN_KEY": "secret-key"})
    assert refused.returncode == 1 and "with --admin-key or $LLMPROXY_ADMIN_KEY" in refused.stderr
    assert wrong.returncode == 1 and "refused the admin key" in wrong.stderr
    assert (right.returncode, right.stdout) == (0, "cleared 1 answer\n")


@pytest.mark.parametrize("command", ["stats", "clear"])
def test_without_the_middleware_it_is_told_how_to_switch_it_on(tmp_path: Path, command: str) -> None:
    with Program(tmp_path) as bare:
        done = run("cache", command, "--url", bare.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "") and "type: cache" in done.stderr
