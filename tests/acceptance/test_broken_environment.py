"""Disks that are full or cannot be written, and stores that answer oddly: refused at the start, or survived."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from tests.support.odd_redis import odd_redis
from tests.support.program import Program, run
from tests.support.provider import Upstream
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has neither such limits nor such files")


def question(number: int, size: int = 10) -> dict[str, object]:
    return {"model": "gpt-x", "seed": number, "messages": [{"role": "user", "content": "x" * size}]}


def configured(upstream: Upstream, *middlewares: str) -> str:
    listed = "\n".join(f"  - {each}" for each in middlewares)
    main = f'{{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: k}}'
    return f"providers: [{main}]\nmiddlewares:\n{listed}\n"


@pytest.mark.parametrize(
    ("middleware", "place", "remedy"),
    [
        ("{type: trace, config: {directory: file/below}}", "file/below", "`directory` (--trace DIR)"),
        ("{type: audit, config: {path: folder}}", "folder", "`path`"),
        ("{type: cache, config: {store: disk, path: file/store.sqlite}}", "file/store.sqlite", "`path`"),
        ("{type: sessions, config: {store: disk, path: foreign.sqlite}}", "foreign.sqlite", "`path`"),
    ],
)
def test_a_place_that_can_never_be_written_stops_the_start(
    tmp_path: Path, upstream: Upstream, middleware: str, place: str, remedy: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "foreign.sqlite")) as theirs:
        theirs.execute("CREATE TABLE theirs (a)")
    (tmp_path / "llmproxy.yaml").write_text(configured(upstream, middleware))

    done = run("serve", "--port", "0", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / place) in done.stderr and remedy in done.stderr


def test_a_folder_of_traces_on_the_command_line_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("serve", "--port", "0", "--trace", "file", cwd=tmp_path)
    assert done.returncode == 1 and "--trace DIR" in done.stderr and "Traceback" not in done.stderr


def test_a_disk_that_takes_some_records_and_not_others_is_logged_once_a_minute(
    tmp_path: Path, upstream: Upstream
) -> None:
    import resource

    config = configured(
        upstream,
        "{type: trace, config: {directory: t}}",
        "{type: audit, config: {path: audit.jsonl}}",
        "{type: sessions, config: {store: disk, path: s.sqlite}}",
        "{type: cache, config: {store: disk, path: c.sqlite}}",
    )
    with Program(tmp_path, config=config) as program:
        assert program.get("/health").json["status"] == "ok"
        assert program.post(CHAT, question(0)).status == 200
        until(lambda: list((tmp_path / "t").glob("*/*.json")), "the first record")
        before = resource.prlimit(program.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (100_000, before[1]))
        began_s = time.monotonic()
        for number in range(24):
            lost = program.get("/health").json["middlewares"][0]["lost"]
            size = 10 if number % 2 else 200_000
            assert program.post(CHAT, question(100 + number, size)).status == 200
            if size > 10:
                until(lambda lost=lost: program.get("/health").json["middlewares"][0]["lost"] > lost, "a loss")  # type: ignore[misc]
            else:
                until(lambda: program.get("/health").json["middlewares"][0]["fault"] is None, "a record")
        program.post(CHAT, question(99, 200_000))
        until(lambda: "trace: " in json.dumps(program.get("/health").json["faults"]), "the fault to be shown")
        assert program.get("/health").json["status"] == "degraded" and program.get("/health").status == 200
        minutes = 1 + int((time.monotonic() - began_s) / 60)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, before)

        def well() -> bool:
            program.post(CHAT, question(int(time.monotonic() * 1000)))
            health = program.get("/health").json
            return (health["status"], health["faults"]) == ("ok", [])

        until(well, "writing to work again")
    assert program.err.count("trace: records are lost") <= minutes
    assert program.err.count("refuses to store") <= 2 * minutes
    assert program.err.count("cannot write to") <= minutes


@pytest.mark.parametrize(
    "kind", ["out of memory", "moved", "no script", "half a value", "an endless value", "an endless list"]
)
def test_a_redis_that_answers_oddly_fails_no_request_and_takes_no_memory(
    tmp_path: Path, upstream: Upstream, kind: str
) -> None:
    with odd_redis(kind) as url:
        store = f"store: redis, url: '{url}'"
        config = configured(
            upstream, f"{{type: sessions, config: {{{store}}}}}", f"{{type: cache, config: {{{store}}}}}"
        )
        with Program(tmp_path, config=config) as program:
            before = program.memory_bytes()
            for number in range(6):
                assert program.post(CHAT, question(number), "x-session-id: s").status == 200
            until(lambda: program.get("/health").json["status"] == "degraded", "the fault to be shown")
            assert program.memory_bytes() < before + (60 << 20)
        assert program.err.count("WARNING") <= 6, program.err
