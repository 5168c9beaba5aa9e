"""The configuration changes while the program runs: by its file, by SIGHUP, by a page and a command."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.support import vendors
from tests.support.pooling import HEAD
from tests.support.program import Program, run
from tests.support.provider import HeldCall, Upstream
from tests.support.waiting import until

pytestmark = pytest.mark.ledger("C11")
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
CACHED = {**ASK, "temperature": 0}
ADMIN = "Authorization: Bearer admin-key-1"
no_hangup = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP on Windows")


class Edited:
    """The program, and the file of its configuration."""

    def __init__(self, program: Program, upstream: Upstream) -> None:
        self.program = program
        self.file = program.directory / "llmproxy.yaml"
        self.main = f'{{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: sk-first-secret}}'

    def write(self, *lines: str, providers: str | None = None) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text("\n".join((f"providers: [{providers or self.main}]", *lines, "")), encoding="utf-8")
        os.replace(beside, self.file)

    def reload(self) -> list[str]:
        answer = self.program.post("/admin/reload", None, ADMIN)
        assert answer.status == 200, answer
        changes: list[str] = answer.json["changes"]
        return changes

    def use(self, *lines: str, providers: str | None = None) -> list[str]:
        """Let the program reload a file with these lines, and return what it says has changed."""
        self.write(*lines, providers=providers)
        return self.reload()

    def health(self) -> Any:
        return self.program.get("/health").json

    def config(self) -> Any:
        return self.program.get("/config").json


@pytest.fixture(scope="module")
def lasting_program(tmp_path_factory: pytest.TempPathFactory, lasting_upstream: Upstream) -> Iterator[Program]:
    # It watches its file in one test alone: elsewhere nothing else may reload.
    config = "providers: [{name: s, type: stub}]\nserver: {reload_on_change: false}\n"
    with Program(tmp_path_factory.mktemp("reload"), config=config) as program:
        yield program


@pytest.fixture
def edited(lasting_program: Program, upstream: Upstream) -> Edited:
    edited = Edited(lasting_program, upstream)
    edited.use("server: {reload_on_change: false}")
    return edited


def log_since(program: Program, start: int) -> str:
    return program.err[start:]


WATCHED = "providers: [{{name: s, type: stub}}]\nrouting: {{retries: {retries}}}\n"


def written(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def replaced(file: Path, text: str) -> None:
    file.with_suffix(".swp").write_text(text, encoding="utf-8")
    os.replace(file.with_suffix(".swp"), file)


def moved_away_first(file: Path, text: str) -> None:
    os.replace(file, file.with_suffix(".bak"))
    file.write_text(text, encoding="utf-8")


def mounted(file: Path, text: str) -> None:
    """Mount the file as the volume of a config map does: it is a link through `..data`, which is replaced."""
    directory = file.parent
    version = directory / f"..{len(list(directory.iterdir()))}"
    version.mkdir()
    (version / file.name).write_text(text, encoding="utf-8")
    (directory / "..tmp").symlink_to(version.name)
    os.replace(directory / "..tmp", directory / "..data")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_change_of_the_file_is_noticed_however_it_is_written(tmp_path: Path) -> None:
    mounted(tmp_path / "llmproxy.yaml", WATCHED.format(retries=1))
    (tmp_path / "llmproxy.yaml").symlink_to("..data/llmproxy.yaml")
    ways: list[Callable[[Path, str], None]] = [mounted, written, moved_away_first, replaced]
    with Program(tmp_path) as program:

        def retries() -> Any:
            return program.get("/config").json["routing"]["retries"]

        for expected, way in enumerate(ways, 2):
            way(tmp_path / "llmproxy.yaml", WATCHED.format(retries=expected))
            until(lambda expected=expected: retries() == expected, f"the change: {way.__name__}")  # type: ignore[misc]
        written(tmp_path / "llmproxy.yaml", WATCHED.format(retries='"${TIMES:-0}"'))
        (tmp_path / ".env").write_text("TIMES=3", encoding="utf-8")
        until(lambda: retries() == 3, "the change of .env")
        (tmp_path / ".env").write_text("TIMES=1", encoding="utf-8")
        until(lambda: retries() == 1, "the second change of .env")
    assert "configuration reloaded (its file has changed): routing.retries changed" in program.err


@no_hangup
def test_sighup_reloads_and_says_in_words_what_changed_but_no_secret(edited: Edited) -> None:
    start = len(edited.program.err)
    main = edited.main.replace("sk-first-secret", "sk-second-secret")
    edited.write(
        "middlewares: [{type: cache}]",
        "models: [{name: smart, targets: [main/gpt-x]}]",
        "server: {reload_on_change: false, max_body_size: 1MB}",
        providers=f"{main}, {{name: s, type: stub}}",
    )
    edited.program.signal(signal.SIGHUP)
    until(lambda: "reloaded (SIGHUP)" in log_since(edited.program, start), "the reload")
    assert log_since(edited.program, start).partition("(SIGHUP): ")[2].splitlines()[0] == (
        "provider 's' added; provider 'main' changed: api_key; model 'smart' added; middleware 'cache' added; "
        "server.max_body_size changed"
    )
    assert "secret" not in edited.program.err
    assert edited.program.post(CHAT, ASK).status == 200


def test_a_bad_file_changes_nothing_and_says_why_everywhere(edited: Edited) -> None:
    start, before = len(edited.program.err), edited.config()
    edited.write("middelwares: []", "server: {reload_on_change: false, max_body_size: many}")
    told = run("reload", "--url", edited.program.url, cwd=edited.file.parent)
    for part in (
        "llmproxy.yaml:2:1: middelwares: unknown key; did you mean 'middlewares'?",
        "server.max_body_size: invalid size: ",
    ):
        assert part in told.stderr and part in log_since(edited.program, start), part
        assert part in edited.health()["faults"][0]
    assert told.returncode == 1 and edited.health()["status"] == "degraded"
    assert edited.config() == before

    edited.write("server: {reload_on_change: false}", "routing: {retries: 7}")
    told = run("reload", "--url", edited.program.url, cwd=edited.file.parent)
    assert (told.returncode, told.stdout) == (0, "routing.retries changed\n")
    assert edited.health()["status"] == "ok"


def test_a_part_that_does_not_start_changes_nothing(edited: Edited) -> None:
    edited.write("stores: {default: {type: disk, path: /dev/null/x.sqlite}}", "middlewares: [{type: cache}]")
    answer = edited.program.post("/admin/reload", None)
    assert answer.status == 422 and "/dev/null/x.sqlite" in answer.json["error"]["message"]
    assert edited.program.post(CHAT, ASK).value("x-cache") is None


def test_what_cannot_change_while_it_runs_is_said_and_the_rest_changes(edited: Edited) -> None:
    port = edited.config()["server"]["port"]
    start = len(edited.program.err)
    edited.write("server: {reload_on_change: false, host: 127.0.0.2}", "routing: {retries: 9}")
    told = run("reload", "--url", edited.program.url, cwd=edited.file.parent)
    said = "server.host cannot change while llmproxy runs; restart it for the new value"
    assert told.stdout == f"routing.retries changed\nwarning: {said}\n"
    assert said in log_since(edited.program, start) and edited.health()["reload"]["needs_restart"] == [said]
    server = edited.config()["server"]
    assert (server["host"], server["port"]) == ("127.0.0.1", port)


def test_reloading_needs_the_admin_key_where_clients_have_keys(edited: Edited) -> None:
    closed = ["server: {reload_on_change: false, admin_key: admin-key-1}"]
    closed += ["auth: {mode: keys, keys: [{name: ci, key: client-key-1}]}"]
    edited.use(*closed)
    statuses = [
        edited.program.post("/admin/reload", None, *headers).status
        for headers in ((), ("Authorization: Bearer client-key-1",), (ADMIN,))
    ]
    assert statuses == [401, 401, 200]
    assert edited.program.get("/admin/reload", ADMIN).status == 405


def test_what_is_held_in_memory_lives_on(edited: Edited, upstream: Upstream) -> None:
    kept = [
        "server: {reload_on_change: false}",
        "middlewares: [{type: sessions}, {type: cache}]",
        "limits: [{requests: 4, per: 1h}]",
        "routing: {retries: 0, breaker: {failures: 1, recovery: 1h}}",
        "models: [{name: pair, targets: [down/gpt-x, main/gpt-x]}]",
    ]
    down = '{name: down, type: openai, base_url: "http://127.0.0.1:9/v1", api_key: k, models: ["down"]}'
    edited.use(*kept, providers=f"{edited.main}, {down}")
    first = edited.program.post(CHAT, CACHED)
    assert edited.program.post(CHAT, {**ASK, "model": "pair"}).status == 200
    assert any("down" in fault for fault in edited.health()["faults"]), "its breaker is open"
    before = edited.program.metric("http_requests_total")
    assert edited.use(*kept, "translation: strict", providers=f"{edited.main}, {down}") == [
        "translation.strict changed"
    ]

    second = edited.program.post(CHAT, CACHED)
    assert (first.value("x-cache"), second.value("x-cache")) == ("miss", "hit")
    assert second.value("x-llmproxy-session") == first.value("x-llmproxy-session")
    assert [each.value("x-ratelimit-remaining-requests") for each in (first, second)] == ["3", "1"]
    assert any("down" in fault for fault in edited.health()["faults"]), "its breaker stays open"
    assert edited.program.metric("http_requests_total") > before
    cache = edited.program.get("/cache").json
    assert (cache["hits"], cache["misses"]) == (1, 1), "counters go on"


def stream(edited: Edited, model: str, *headers: str) -> Iterator[bytes]:
    """Ask for a stream and yield its body when it has ended; the first step only sends the request."""
    with edited.program.client() as client:
        client.post(CHAT, {**ASK, "model": model, "stream": True}, *headers)
        yield b""
        yield client.read_answer().body


def test_a_stream_is_whole_whatever_changes_meanwhile(edited: Edited, upstream: Upstream) -> None:
    """Between each two of these a reload, each with a stream of a provider that may be removed within it."""
    second = edited.main.replace("name: main", 'name: second, models: ["other"]')
    open_ = "server: {reload_on_change: false, admin_key: admin-key-1}"
    ways: dict[str, tuple[list[str], str, str]] = {
        "cache in memory": ([open_, "middlewares: [{type: cache}]"], f"{edited.main}, {second}", "second/other"),
        "cache on disk": (
            [open_, "middlewares: [{type: cache, config: {store: disk, path: c.sqlite}}]"],
            f"{edited.main}, {second}",
            "second/other",
        ),
        "provider removed": ([open_], edited.main, "gpt-x"),
        "keys changed": (
            [open_, "auth: {mode: keys, keys: [{name: ci, key: client-key-2}]}"],
            f"{edited.main}, {second}",
            "second/other",
        ),
        "another host": ([open_.replace("{", "{host: 127.0.0.2, ")], f"{edited.main}, {second}", "second/other"),
    }
    frames = vendors.chat_frames("gpt-x")
    for one, other in permutations(ways, 2):
        lines, providers, model = ways[one]
        edited.use(*lines, providers=providers)
        keys = ("Authorization: Bearer client-key-2",) if one == "keys changed" else ()
        upstream.hold()
        streaming = stream(edited, model, *keys)
        next(streaming)
        held: HeldCall = upstream.take()
        held.send(HEAD + b"%x\r\n%b\r\n" % (len(frames[0]), frames[0]))
        lines, providers, _ = ways[other]
        edited.use(*lines, providers=providers)
        refused = edited.program.post(CHAT, ASK, "Authorization: Bearer client-key-1").status
        assert refused == (401 if other == "keys changed" else 200), (one, other)
        rest = b"".join(frames[1:])
        held.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        held.done()
        assert next(streaming) == b"".join(frames), (one, other)


@pytest.mark.parametrize("seconds", [1, pytest.param(30, marks=pytest.mark.long)])
def test_under_load_no_request_fails_and_nothing_grows(edited: Edited, seconds: int) -> None:
    program = edited.program
    variants = [
        ["middlewares: [{type: sessions}, {type: cache}]"],
        ["middlewares: [{type: sessions}]", "routing: {retries: 1}"],
    ]
    statuses: list[int] = []
    over = threading.Event()

    def client(number: int) -> None:
        with program.client() as client:
            while not over.is_set():
                client.post(CHAT, {**ASK, "user": str(number), "stream": number % 2 == 0})
                statuses.append(client.read_answer().status)

    def reload_once(number: int) -> None:
        edited.use("server: {reload_on_change: false}", *variants[number % 2])

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for each in clients:
        each.start()
    times, sizes = (0.2, seconds * 5) if seconds < 10 else (1.0, seconds), []
    try:
        for number in range(int(times[1])):
            reload_once(number)
            sizes.append(program.memory_bytes() if sys.platform == "linux" else 0)
            time.sleep(times[0])
    finally:
        over.set()
        for each in clients:
            each.join()
    assert set(statuses) == {200} and len(statuses) > 50 * seconds
    if seconds > 10:  # before that it is still warming up
        assert sizes[-1] - sizes[len(sizes) // 2] < 6 * 1024 * 1024, sizes
