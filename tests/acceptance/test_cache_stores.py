"""Caches that outlive a process or are shared by several: a file, a Redis, and one that goes away under traffic."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no Redis server for Windows")


@contextlib.contextmanager
def program(directory: Path, upstream: Upstream, store: str, more: str = "") -> Iterator[Program]:
    """Yield one of several programs with the same store before the same provider."""
    directory.mkdir(exist_ok=True)
    config = f"""
providers: [{{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: k}}]
middlewares:
  - {{type: cache, config: {{{store}}}}}
  {more}
"""
    with Program(directory, config=config) as started:
        yield started


def question(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {"model": "gpt-x", "seed": number, "messages": [{"role": "user", "content": "hi"}], **changes}


def stored(program: Program, entries: int) -> None:
    until(lambda: program.get("/cache").json["entries"] == entries, f"{entries} entries")


@pytest.mark.ledger("K5")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_file_answers_after_a_restart_and_for_another_process(
    tmp_path: Path, upstream: Upstream, how: signal.Signals
) -> None:
    store = f"store: disk, path: {tmp_path / 'cache.sqlite'}"
    ends = contextlib.suppress(AssertionError) if how == signal.SIGKILL else contextlib.nullcontext()
    with ends, program(tmp_path / "one", upstream, store) as one:
        miss = one.post(CHAT, question(stream=True))
        stored(one, 1)
        one.signal(how)
        one.wait()
    with program(tmp_path / "two", upstream, store) as two, program(tmp_path / "three", upstream, store) as three:
        for each in (two, three):
            hit = each.post(CHAT, question(stream=True))
            assert (hit.value("x-cache"), hit.body) == ("hit", miss.body)
        assert three.post(CHAT, question(1)).value("x-cache") == "miss"
        stored(two, 2)
        assert two.post(CHAT, question(1)).value("x-cache") == "hit"
    assert len(upstream.requests) == 2


def test_a_file_that_is_none_costs_the_cache_and_no_request(tmp_path: Path, upstream: Upstream) -> None:
    file = tmp_path / "cache.sqlite"
    file.write_bytes(b"no database at all\n" * 1000)
    with program(tmp_path / "one", upstream, f"store: disk, path: {file}") as one:
        assert [one.post(CHAT, question(number)).status for number in range(5)] == [200] * 5


@pytest.mark.ledger("K5")
def test_two_programs_on_one_redis_share_answers_and_sessions(tmp_path: Path, upstream: Upstream) -> None:
    with RedisServer(tmp_path) as redis:
        store = f"store: redis, url: '{redis.url}'"
        more = f"- {{type: sessions, config: {{{store}}}}}"
        with (
            program(tmp_path / "one", upstream, store, more) as one,
            program(tmp_path / "two", upstream, store, more) as two,
        ):
            for value in (question(), question(stream=True, stream_options={"include_usage": True})):
                miss = one.post(CHAT, value, "x-session-id: s1")
                until(
                    lambda value=value: two.post(CHAT, value, "x-session-id: s1").value("x-cache") == "hit",  # type: ignore[misc]
                    "the answer to be found by the other",
                )
                hit = two.post(CHAT, value, "x-session-id: s1")
                assert hit.body == miss.body or value.get("stream")
                assert hit.value("x-llmproxy-session") == miss.value("x-llmproxy-session") is not None
            name = miss.value("x-llmproxy-session")
            until(lambda: two.get(f"/sessions/{name}").status == 200, "the session to be found by the other")
            with two.client() as client:
                client.request("DELETE", "/cache", "Connection: close")
                assert client.read_answer("DELETE").json["deleted"] == 1
            assert one.post(CHAT, question(), "x-session-id: s1").value("x-cache") == "miss"


@pytest.mark.ledger("K5")
@pytest.mark.parametrize("how", ["kill", "hang"])
def test_a_redis_that_goes_away_under_traffic_fails_no_request(tmp_path: Path, upstream: Upstream, how: str) -> None:
    with (
        RedisServer(tmp_path) as redis,
        program(tmp_path / "one", upstream, f"store: redis, url: '{redis.url}'") as one,
    ):
        statuses: list[int] = []
        enough = threading.Event()

        def traffic(lane: int) -> None:
            with one.client() as client:
                number = 0
                while not enough.is_set():
                    client.post(CHAT, question(lane * 7 + number % 7, stream=number % 2 == 0))
                    statuses.append(client.read_answer().status)
                    number += 1

        lanes = [threading.Thread(target=traffic, args=(lane,)) for lane in range(4)]
        for each in lanes:
            each.start()
        try:
            until(lambda: one.get("/cache").json["hits"] >= 20, "hits")
            getattr(redis, how)()
            until(lambda: not one.get("/cache").json["available"], "the loss to be seen")
            count = len(statuses)
            until(lambda: len(statuses) >= count + 40, "traffic without the store")
            (redis.start if how == "kill" else redis.go_on)()
            until(lambda: one.get("/cache").json["available"], "the store to be found again")
            hits = one.get("/cache").json["hits"]
            until(lambda: one.get("/cache").json["hits"] > hits, "hits again")
        finally:
            enough.set()
            for each in lanes:
                each.join()
            if how == "hang":
                redis.go_on()
        assert set(statuses) == {200}


def test_a_redis_full_of_rubbish_is_a_cache_of_misses(tmp_path: Path, upstream: Upstream) -> None:
    with (
        RedisServer(tmp_path) as redis,
        program(tmp_path / "one", upstream, f"store: redis, url: '{redis.url}'") as one,
    ):
        for number, rubbish in enumerate((b"rubbish", b"", b"\x01" * 5000, None)):
            redis.ask("FLUSHALL")
            one.post(CHAT, question(number))
            until(lambda: redis.ask("KEYS", "*"), "the answer to be stored")
            for key in redis.ask("KEYS", "*"):
                redis.ask("DEL", key)
                redis.ask(*(("LPUSH", key, "a list") if rubbish is None else ("SET", key, rubbish)))
            answer = one.post(CHAT, question(number))
            assert (answer.status, answer.value("x-cache")) == (200, "miss")
            until(lambda: one.get("/cache").json["stored"] == 2 * number + 2, "the answer to be stored anew")  # noqa: B023
