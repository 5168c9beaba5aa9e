"""A stop by signal: no new connections, running exchanges finish in their time, the rest hear that it is over."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import HeldCall, Reply, Upstream
from tests.support.raw_http import RawClient
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

CHAT = "/v1/chat/completions"
FRAMES = vendors.chat_frames("gpt-x")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

_STOP_S = 2 * PATIENCE_S


def _serve(directory: Path, upstream: Upstream, shutdown_timeout: str) -> Program:
    config = f"""
server: {{shutdown_timeout: {shutdown_timeout}}}
llm: {{base_url: "{upstream.url}/v1", type: openai, api_key: k}}
"""
    return Program(directory, "serve", config=config)


def _begin(client: RawClient, upstream: Upstream) -> HeldCall:
    """Return a stream that has begun."""
    upstream.hold()
    client.post(CHAT, {"model": "gpt-x", "stream": True})
    call = upstream.take()
    call.send(HEAD + _chunk(FRAMES[0]))
    assert client.read_head().status == 200
    return call


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _refuses(program: Program) -> bool:
    try:
        program.client().close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_stream_finishes_while_nobody_new_gets_in(tmp_path: Path, upstream: Upstream, number: int) -> None:
    with _serve(tmp_path, upstream, "30s") as program, program.client() as client, program.client() as idle:
        idle.request("GET", "/health")
        idle.read_answer("GET")
        call = _begin(client, upstream)
        program.signal(number)
        until(lambda: _refuses(program), "the listener to close")
        assert idle.ended(), "idle connections close at once"
        for frame in FRAMES[1:]:
            call.send(_chunk(frame))
        call.send(b"0\r\n\r\n")
        assert b"".join(client.read_chunks()) == b"".join(FRAMES)
        assert client.ended()
        assert program.wait() == 0
    assert "Traceback" not in program.err


def test_beyond_the_time_a_stream_ends_with_an_error_event(tmp_path: Path, upstream: Upstream) -> None:
    with _serve(tmp_path, upstream, "300ms") as program, program.client() as client:
        call = _begin(client, upstream)
        program.signal(signal.SIGTERM)
        got = b"".join(client.read_chunks())
        assert got.startswith(FRAMES[0]) and b'"error"' in got[len(FRAMES[0]) :]
        call.wait_left()
        assert program.wait() == 0


def test_beyond_the_time_a_call_without_an_answer_is_a_503(tmp_path: Path, upstream: Upstream) -> None:
    with _serve(tmp_path, upstream, "300ms") as program, program.client() as client:
        upstream.hold()
        client.post(CHAT, {"model": "gpt-x"})
        upstream.take()
        program.signal(signal.SIGTERM)
        answer = client.read_answer()
        assert answer.status == 503 and answer.json["error"]["message"]
        assert program.wait() == 0


def test_beyond_the_time_a_plain_answer_that_had_begun_is_aborted(tmp_path: Path, upstream: Upstream) -> None:
    with _serve(tmp_path, upstream, "300ms") as program, program.client() as client:
        upstream.hold()
        client.post(CHAT, {"model": "gpt-x"})
        upstream.take().send(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 100_000)
        client.read_head()
        program.signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):
            client.read_exactly(900_000)
        assert program.wait() == 0


def test_a_call_that_waits_is_answered_before_the_end(tmp_path: Path, upstream: Upstream) -> None:
    with _serve(tmp_path, upstream, "30s") as program, program.client() as client:
        upstream.hold()
        client.post(CHAT, {"model": "gpt-x"})
        call = upstream.take()
        program.signal(signal.SIGTERM)
        until(lambda: _refuses(program), "the listener to close")
        call.give(Reply(pieces=[b"{}"]))
        answer = client.read_answer()
        assert (answer.status, answer.value("connection")) == (200, "close")
        assert program.wait() == 0


def test_a_client_that_does_not_read_cannot_hold_up_the_stop(tmp_path: Path, upstream: Upstream) -> None:
    upstream.next(Reply(headers=vendors.SSE, pieces=[FRAMES[1] * 1000] * 2000, framing="chunked"))
    with _serve(tmp_path, upstream, "300ms") as program, program.client(receive_buffer=4096) as client:
        client.post(CHAT, {"model": "gpt-x", "stream": True})
        client.read_head()
        until(lambda: upstream.requests and upstream.only.connection.stalled_s, "the flow to stop")
        program.signal(signal.SIGTERM)
        assert program.wait() == 0


def test_an_idle_program_stops_at_once(tmp_path: Path, upstream: Upstream) -> None:
    with _serve(tmp_path, upstream, f"{_STOP_S:g}s") as program:
        program.signal(signal.SIGINT)
        assert program.wait(_STOP_S / 2) == 0
