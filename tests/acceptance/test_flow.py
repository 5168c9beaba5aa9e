"""Promise 9 and back-pressure: long streams are exact, slow readers slow the writer down, memory stays flat."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Call, Gate, Reply, Upstream
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
MB = 1 << 20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.ledger("T1")
def test_ten_thousand_chunks_arrive_exactly(relay: Program, upstream: Upstream) -> None:
    frames = [b'data: {"choices":[{"index":0,"delta":{"content":"%d \xe2\x82\xac"}}]}\n\n' % i for i in range(10_000)]
    upstream.next(Reply(headers=vendors.SSE, pieces=frames, framing="chunked"))
    answer = relay.post(CHAT, {"model": "gpt-x", "stream": True})
    assert answer.body == b"".join(frames)


@LINUX
@pytest.mark.parametrize("kind", ["stream", "plain"])
def test_a_client_that_does_not_read_slows_the_upstream_and_costs_no_memory(
    relay: Program, upstream: Upstream, kind: str
) -> None:
    frame = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 65_400 + b'"}}]}\n\n'
    headers = vendors.SSE if kind == "stream" else vendors.JSON
    upstream.next(Reply(headers=headers, pieces=itertools.repeat(frame, 8000), framing="chunked"))
    before = relay.memory_bytes()
    with relay.client(receive_buffer=65536) as client:
        client.post(CHAT, {"model": "gpt-x", "stream": kind == "stream"})
        client.read_head()
        connection = upstream.only.connection
        _until_stalled(lambda: connection.sent_bytes)
        assert connection.stalled_s is not None, "the upstream is slowed"
        assert connection.sent_bytes < 60 * MB
        assert relay.memory_bytes() - before < 40 * MB
        for _ in range(500):
            client.read_chunk()
        client.reset()
    until(lambda: connection.peer_left_s, "the upstream to be told")


@LINUX
def test_an_upstream_that_does_not_read_slows_the_client_costs_no_memory_and_is_given_up(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.greeting = "ignore"
    limits = "{first_byte: 3s, idle: 3s}"
    config = f'providers: [{{name: main, type: openai, base_url: "{upstream.url}", api_key: k, timeouts: {limits}}}]\n'
    with Program(tmp_path, "serve", config=config) as program, program.client() as client:
        before = program.memory_bytes()
        client.request("POST", "/v1/files", f"Content-Length: {500 * MB}")
        assert client.offer(bytes(100 * MB), timeout_s=1.0) < 60 * MB
        assert program.memory_bytes() - before < 40 * MB
        assert client.read_answer().status == 504
        until(lambda: program.metric("llmproxy_in_flight_requests") <= 1, "the exchange to end")


@LINUX
def test_a_large_upload_and_download_pass_without_being_held(relay: Program, upstream: Upstream) -> None:
    async def count(call: Call) -> None:
        await call.give(Reply(pieces=itertools.repeat(bytes(65536), 1600), length=1600 * 65536))

    upstream.next(count)
    before = relay.memory_bytes()
    with relay.client() as client:
        client.request("POST", "/v1/files", f"Content-Length: {100 * MB}")
        for _ in range(100):
            client.send(bytes(MB))
        assert len(client.read_answer().body) == 1600 * 65536
        assert relay.memory_bytes() - before < 40 * MB
    assert len(upstream.only.body) == 100 * MB


def test_one_event_of_twenty_megabytes_passes(relay: Program, upstream: Upstream) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 20 * MB + b'"}}]}\n\n'
    upstream.next(Reply(headers=vendors.SSE, pieces=[event, b"data: [DONE]\n\n"], framing="chunked"))
    answer = relay.post(CHAT, {"model": "gpt-x", "stream": True})
    assert answer.status == 200 and answer.body == event + b"data: [DONE]\n\n"


def test_a_plain_answer_beyond_64_kb_is_passed_on_before_it_is_whole(relay: Program, upstream: Upstream) -> None:
    gate = Gate()
    upstream.next(Reply(pieces=[b" " * 100_000, gate, b"{}"], framing="chunked"))
    with relay.client() as client:
        client.post(CHAT, {"model": "gpt-x"})
        client.read_head()
        got = client.read_chunk()
        gate.open()
        assert got + b"".join(client.read_chunks()) == b" " * 100_000 + b"{}"


def test_a_slow_client_gets_every_byte(relay: Program, upstream: Upstream) -> None:
    frames = [b"data: %d %b\n\n" % (number, b"x" * 3000) for number in range(2000)]
    upstream.next(Reply(headers=vendors.SSE, pieces=frames, framing="chunked"))
    with relay.client(receive_buffer=8192) as client:
        client.post(CHAT, {"model": "gpt-x", "stream": True})
        client.read_head()
        connection = upstream.only.connection
        _until_stalled(lambda: connection.sent_bytes)
        assert b"".join(client.read_chunks()) == b"".join(frames)


def _until_stalled(progress: object) -> None:
    """Wait until `progress` has given the same value for a while."""
    assert callable(progress)
    last, same = -1, 0

    def still() -> bool:
        nonlocal last, same
        now = progress()
        same = same + 1 if now == last else 0
        last = now
        return same > 60

    until(still, "the flow to stop")
