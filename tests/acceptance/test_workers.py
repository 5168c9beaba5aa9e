"""Several workers are one server: one address, one process to stop and reload, one set of figures, one memory."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import promtool, vendors
from tests.support.connection import Gone
from tests.support.pooling import HEAD
from tests.support.program import Program, counted, run
from tests.support.provider import HeldCall, Upstream
from tests.support.raw_http import Cut, RawClient
from tests.support.waiting import until

pytestmark = [
    pytest.mark.ledger("C1"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has one worker"),
]

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
FRAMES = vendors.chat_frames("gpt-x")
REQUESTS = 'http_requests_total{method="POST",path="/v1/chat/completions",status="200"}'


def config(upstream: Upstream, more: str = "") -> str:
    return f"""
server: {{workers: 2, reload_on_change: false}}
providers: [{{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: k}}]
middlewares: [{{type: sessions}}, {{type: cache}}, {{type: trace, config: {{directory: ./traces}}}}]
telemetry: {{prometheus_port: 0}}
{more}
"""


@pytest.fixture(scope="module")
def lasting_pair(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("pair"), config=config(lasting_upstream)) as program:
        yield program


@pytest.fixture
def pair(lasting_pair: Program, upstream: Upstream) -> Program:
    """Return the program with two workers, and with no connection that a test before has left."""
    until(lambda: sum(connections(lasting_pair)) == 1, "connections of other tests to close")
    return lasting_pair


def workers(program: Program) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = program.get("/health").json["workers"]
    return rows


def connections(program: Program) -> list[int]:
    """Return how many connections each worker has, that of this request among them."""
    return [row["connections"] for row in workers(program)]


def one_for_each(stack: ExitStack, program: Program) -> list[RawClient]:
    """Return two clients, each of another worker."""
    clients = [stack.enter_context(program.client()) for _ in range(2)]
    until(lambda: sorted(connections(program)) == [1, 2], "a connection for each worker")
    return clients


def asked(client: RawClient, *headers: str, **changes: Any) -> Any:
    client.post(CHAT, {**ASK, **changes}, *headers)
    return client.read_answer()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def begin(client: RawClient, upstream: Upstream) -> HeldCall:
    """Return a stream that has begun."""
    upstream.hold()
    client.post(CHAT, {**ASK, "stream": True})
    call = upstream.take()
    call.send(HEAD + chunk(FRAMES[0]))
    assert client.read_head().status == 200
    return call


def test_connections_spread_evenly(pair: Program) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(pair.client()) for _ in range(64)]
        served = [asked(client).status for client in clients]
        until(lambda: sum(connections(pair)) == 65, "all of them to be known")
        shares = [count / 64 for count in connections(pair)]
    assert set(served) == {200} and all(0.35 <= share <= 0.65 for share in shares), shares


def test_it_is_one_server_for_pages_and_commands(pair: Program) -> None:
    health = pair.get("/health").json
    assert (health["status"], health["pid"], pair.get("/stats").json["pid"]) == ("ok", pair.pid, pair.pid)
    assert {row["state"] for row in health["workers"]} == {"serving"}
    assert {row["pid"] for row in health["workers"]}.isdisjoint({pair.pid})
    told = run("stats", "--json", cwd=pair.directory)
    assert told.returncode == 0 and f'"pid": {pair.pid}' in told.stdout, told.stderr
    with pair.client() as client:
        assert asked(client).status == 200
    until(lambda: run("trace", "ls", cwd=pair.directory).returncode == 0, "the request to be recorded")


def test_figures_add_up_whichever_worker_is_asked(pair: Program) -> None:
    with ExitStack() as stack:
        one, other = one_for_each(stack, pair)
        before = pair.get("/stats").json["requests"]["total"]
        visits = recognised(pair.get("/sessions").json)
        with counted(pair, "http_requests_total", 12, method="POST"):
            for client in [one, other, other] * 4:
                assert asked(client).status == 200
        for client in (one, other):
            client.request("GET", "/stats")
            assert client.read_answer("GET").json["requests"]["total"] == before + 12
            client.request("GET", "/sessions")
            assert recognised(client.read_answer("GET").json) == visits + 12
            client.request("GET", "/metrics/json")
            assert client.read_answer("GET").json["main"]["total_requests"] == before + 12


def test_the_metrics_of_all_are_well_formed_documented_and_at_their_own_port(pair: Program) -> None:
    with ExitStack() as stack:
        for client in one_for_each(stack, pair):
            asked(client)
    text = pair.get("/metrics").body.decode()
    assert promtool.lint(text) == []
    found = {name for name in promtool.names(text) if not name.startswith("process_")}
    assert "llmproxy_workers" in found and found <= promtool.documented().keys()
    (url,) = re.findall(r"metrics are at (\S+)", pair.err)
    with urllib.request.urlopen(url) as answer:
        lines = answer.read().decode().splitlines()
    assert "llmproxy_workers 2.0" in lines and f"{REQUESTS} {pair.metrics()[REQUESTS]}" in lines


def recognised(page: Any) -> int:
    """Return how many requests belonged to a session."""
    return int(page["figures"]["created"] + page["figures"]["hits"])


def test_a_session_of_one_worker_is_known_to_the_other(pair: Program) -> None:
    with ExitStack() as stack:
        one, other = one_for_each(stack, pair)
        first = asked(one)
        turns = [*ASK["messages"], {"role": "assistant", "content": first.json["choices"][0]["message"]["content"]}]
        second = asked(other, messages=[*turns, {"role": "user", "content": "go on"}])
        known = first.value("x-llmproxy-session")
        assert known and second.value("x-llmproxy-session") == known
        other.request("GET", f"/sessions/{known}")
        assert other.read_answer("GET").json["requests"] >= 2


def test_each_worker_has_cached_answers_of_its_own_and_deleting_them_deletes_all(pair: Program) -> None:
    with ExitStack() as stack:
        clients = one_for_each(stack, pair)
        cached = {"temperature": 0, "user": "cached"}
        states = [asked(client, **cached).value("x-cache") for client in [*clients, *clients]]
        assert states == ["miss", "miss", "hit", "hit"]
        until(lambda: pair.get("/cache").json["entries"] == 2, "both of them to be counted")
        clients[0].request("DELETE", "/cache")
        assert clients[0].read_answer().json == {"deleted": 2}
        assert [asked(client, **cached).value("x-cache") for client in clients] == ["miss", "miss"]


def test_a_limit_is_exact_over_both(pair: Program, upstream: Upstream) -> None:
    file = pair.directory / "llmproxy.yaml"
    file.write_text(config(upstream, "limits: [{requests: 100, per: 1h}]"), encoding="utf-8")
    assert pair.post("/admin/reload", None).json["changes"] == ["limits added"]
    statuses: list[int] = []

    def ask_some(client: RawClient) -> None:
        with client:
            statuses.extend(asked(client).status for _ in range(15))

    threads = [threading.Thread(target=ask_some, args=(pair.client(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.write_text(config(upstream), encoding="utf-8")
    assert pair.post("/admin/reload", None).status == 200
    assert Counter(statuses) == {200: 100, 429: 20}


def test_both_reload_under_load_and_no_request_fails(pair: Program, upstream: Upstream) -> None:
    file, over = pair.directory / "llmproxy.yaml", threading.Event()
    statuses: list[int] = []

    def ask_on(number: int) -> None:
        while not over.is_set():
            with pair.client() as client:
                statuses.extend(asked(client, stream=number % 2 == 0).status for _ in range(5))

    start, reloads = len(pair.err), 0
    threads = [threading.Thread(target=ask_on, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for retries in (3, 4, 5, 6):
            file.write_text(config(upstream, f"routing: {{retries: {retries}}}"), encoding="utf-8")
            pair.signal(signal.SIGHUP)
            reloads += 1
            until(lambda: pair.err.count("configuration reloaded (SIGHUP)", start) == reloads, "the reload")  # noqa: B023
            with ExitStack() as stack:
                for client in [stack.enter_context(pair.client()) for _ in range(2)]:
                    client.request("GET", "/config")
                    assert client.read_answer("GET").json["routing"]["retries"] == retries
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200} and len(statuses) > 20
    assert pair.get("/health").json["reload"]["count"] >= 4


def test_the_number_of_workers_cannot_change_and_a_bad_file_changes_nothing(pair: Program, upstream: Upstream) -> None:
    file, start = pair.directory / "llmproxy.yaml", len(pair.err)
    file.write_text(config(upstream).replace("workers: 2", "workers: 1"), encoding="utf-8")
    said = "server.workers cannot change while llmproxy runs; restart it for the new value"
    told = run("reload", cwd=pair.directory)
    assert told.returncode == 0 and f"warning: {said}" in told.stdout, told.stderr
    assert pair.err.count(said, start) == 1 and pair.get("/health").json["reload"]["needs_restart"] == [said]
    file.write_text(config(upstream, "stores: {default: {type: disk, path: /dev/null/x.sqlite}}"), encoding="utf-8")
    refused = pair.post("/admin/reload", None)
    assert refused.status == 422 and "/dev/null/x.sqlite" in refused.json["error"]["message"]
    assert len(pair.get("/health").json["faults"]) == 1
    file.write_text("server: {workers: 0}", encoding="utf-8")
    told = run("reload", cwd=pair.directory)
    assert told.returncode == 1 and "server.workers" in told.stderr
    assert pair.get("/health").json["status"] == "degraded" and pair.post(CHAT, ASK).status == 200
    file.write_text(config(upstream), encoding="utf-8")
    assert pair.post("/admin/reload", None).status == 200
    assert pair.get("/health").json["status"] == "ok"


def test_a_worker_that_is_killed_takes_only_its_own_exchanges_with_it(pair: Program, upstream: Upstream) -> None:
    with ExitStack() as stack:
        clients = one_for_each(stack, pair)
        calls = [begin(client, upstream) for client in clients]
        until(lambda: pair.metric("llmproxy_in_flight_requests") >= 2, "both streams to be counted")
        before = pair.metrics()
        victim, survivor = workers(pair)
        os.kill(victim["pid"], signal.SIGKILL)
        statuses = [pair.post(CHAT, ASK).status for _ in range(20)]
        for call in calls:
            with suppress(Gone):  # the worker of one of them is no more
                call.send(b"".join(map(chunk, FRAMES[1:])) + b"0\r\n\r\n")
            call.done()
        whole = [_rest(client) == b"".join(FRAMES) for client in clients]
        assert set(statuses) == {200} and sorted(whole) == [False, True]
        after = pair.metrics()
        fallen = {
            name
            for name, value in before.items()
            if name.partition("{")[0].endswith(("_total", "_count", "_bucket")) and after.get(name, 0) < value
        }
        assert not fallen, "counters never fall"
        assert after[REQUESTS] == before[REQUESTS] + 20 + 1
        until(lambda: [row["state"] for row in workers(pair)] == ["serving"] * 2, "another one in its place")
        rows = workers(pair)
        assert rows[1]["pid"] == survivor["pid"] and rows[0]["pid"] != victim["pid"]
        assert [row["restarts"] for row in rows] == [1, 0]
        assert "worker 1 was ended by SIGKILL; it is started again" in pair.err
        assert pair.metric("llmproxy_worker_restarts_total") == 1


def _rest(client: RawClient) -> bytes:
    """Return what comes of a stream until it ends or breaks off."""
    try:
        return b"".join(client.read_chunks())
    except (Cut, ConnectionError) as cut:
        return cut.got if isinstance(cut, Cut) else b""


def test_a_stop_lets_streams_finish_everywhere(tmp_path: Path, upstream: Upstream) -> None:
    settings = f"--base-url={upstream.url}/v1 --type=openai --api-key=k --workers=2".split()
    with Program(tmp_path, "serve", *settings) as program, ExitStack() as stack:
        clients = one_for_each(stack, program)
        calls = [begin(client, upstream) for client in clients]
        program.signal(signal.SIGTERM)
        until(lambda: "stopping: no new connections" in program.err, "the stop")
        for call in calls:
            call.send(b"".join(map(chunk, FRAMES[1:])) + b"0\r\n\r\n")
        assert [_rest(client) for client in clients] == [b"".join(FRAMES)] * 2
        assert program.wait() == 0


def test_a_worker_that_cannot_start_ends_the_server_with_its_message(tmp_path: Path) -> None:
    config = "providers: [{name: s, type: stub}]\nstores: {default: {type: disk, path: /dev/null/x.sqlite}}\n"
    (tmp_path / "llmproxy.yaml").write_text(config + "middlewares: [{type: cache}]\n")
    told = run("serve", "--port", "0", "--workers", "2", cwd=tmp_path)
    assert told.returncode == 1 and told.stderr.count("/dev/null/x.sqlite") == 1, told.stderr
    assert "Traceback" not in told.stderr and "listens" not in told.stdout
