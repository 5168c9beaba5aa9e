"""Hostile clients: while the attack stands, others are served, and memory stays below its limit."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmproxy.wire.compression import compress
from tests.support.program import Program
from tests.support.provider import Upstream
from tests.support.raw_http import RawClient
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
MB = 1024 * 1024
HELD_BYTES = 128 * MB
SLACK_BYTES = 150 * MB
ASK = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc")


@pytest.fixture(scope="module")
def besieged(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    config = f"""
server: {{max_held_bytes: {HELD_BYTES // MB}MB}}
providers:
  - {{name: main, type: openai, base_url: "{lasting_upstream.url}/v1", api_key: k, models: ["gpt-*"]}}
  - {{name: claude, type: anthropic, base_url: "{lasting_upstream.url}", api_key: k}}
"""
    with Program(tmp_path_factory.mktemp("besieged"), "serve", config=config) as program:
        yield program


def _serves_others(program: Program) -> None:
    assert program.get("/health").status == 200
    assert program.post(CHAT, ASK).status == 200
    assert program.memory_bytes() < HELD_BYTES + SLACK_BYTES


def _open(program: Program, count: int, stack: contextlib.ExitStack) -> list[RawClient]:
    return [stack.enter_context(program.client()) for _ in range(count)]


def _over(program: Program) -> None:
    until(lambda: program.metric("llmproxy_held_bytes") == 0, "everything to be given back")


def test_sockets_that_declare_much_and_send_a_byte_take_nothing(besieged: Program, upstream: Upstream) -> None:
    with contextlib.ExitStack() as stack:
        for client in _open(besieged, 8, stack):
            client.request("POST", CHAT, f"Content-Length: {64 * MB}")
            client.send(b"{")
        until(lambda: 8 <= besieged.metric("llmproxy_held_bytes") < 4096, "the bytes to be counted")
        _serves_others(besieged)
    _over(besieged)


@pytest.mark.parametrize("field", [b"X: " + b"v" * 60_000, b"X: v\r\n" * 500 + b"X: " + b"v" * 57_000])
def test_unfinished_heads_are_bounded(besieged: Program, upstream: Upstream, field: bytes) -> None:
    with contextlib.ExitStack() as stack:
        for client in _open(besieged, 20, stack):
            client.send(b"GET /v1/files HTTP/1.1\r\nHost: x\r\n" + field)
        until(lambda: besieged.metric("llmproxy_held_bytes") >= 20 * 60_000, "the heads to be counted")
        _serves_others(besieged)
    _over(besieged)


def test_heads_of_many_megabytes_are_refused(besieged: Program, upstream: Upstream) -> None:
    with contextlib.ExitStack() as stack:
        for client in _open(besieged, 20, stack):
            client.send(b"GET /v1/files HTTP/1.1\r\nHost: x\r\n")
            with contextlib.suppress(ConnectionError):
                client.offer((b"X: " + b"v" * 60_000 + b"\r\n") * 500, 0.05)
        _serves_others(besieged)
    _over(besieged)


@pytest.mark.parametrize(("encoding", "model"), [("gzip", "gpt-x"), ("zstd", "claude-x")])
def test_bombs_are_counted_as_what_they_become(
    besieged: Program, upstream: Upstream, encoding: str, model: str
) -> None:
    ask = json.dumps({"model": model, "messages": [{"role": "user", "content": ""}]}).encode()
    bomb = compress(ask.replace(b'""', b'"' + b"x" * 60 * MB + b'"'), encoding)
    assert len(bomb) < 200_000

    def throw(client: RawClient) -> int:
        client.request("POST", CHAT, f"Content-Encoding: {encoding}", body=bomb)
        return client.read_answer().status

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(16) as threads:
        thrown = [threads.submit(throw, client) for client in _open(besieged, 16, stack)]
        _serves_others(besieged)
        while not all(each.done() for each in thrown):
            assert besieged.get("/health").status == 200
            assert besieged.memory_bytes() < HELD_BYTES + SLACK_BYTES
        assert {each.result() for each in thrown} <= {200, 503} and 503 in {each.result() for each in thrown}
    _over(besieged)
    assert besieged.post(CHAT, ASK).status == 200


def test_memory_goes_back_after_a_burst(besieged: Program, upstream: Upstream) -> None:
    with contextlib.ExitStack() as stack:
        for client in _open(besieged, 3, stack):
            client.request("POST", CHAT, f"Content-Length: {40 * MB}")
            client.send(b'{"model": "gpt-x", "x": "' + b"x" * 39 * MB)
        until(lambda: besieged.metric("llmproxy_held_bytes") > 116 * MB, "the bodies to be held")
        assert besieged.memory_bytes() > HELD_BYTES
    until(lambda: besieged.memory_bytes() < 110 * MB, "the memory to go back", 30)
