"""Connections to providers are kept and reused; one that went stale while idle costs the client nothing."""

from __future__ import annotations

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Call, Reply, Upstream, drop, reset

CHAT = "/v1/chat/completions"
ASK = {"model": "gpt-x", "messages": []}


def _warm(relay: Program, upstream: Upstream) -> int:
    """Leave exactly one idle connection in the pool; its number."""
    upstream.close_idle()
    assert relay.post(CHAT, ASK).status == 200
    return upstream.requests.pop().connection.number


def test_connections_are_reused(relay: Program, upstream: Upstream) -> None:
    number = _warm(relay, upstream)
    for stream in (False, True, False):
        assert relay.post(CHAT, ASK | {"stream": stream}).status == 200
    assert {request.connection.number for request in upstream.requests} == {number}


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_closed_while_idle_is_replaced(relay: Program, upstream: Upstream, stream: bool) -> None:
    _warm(relay, upstream)
    upstream.close_idle()
    assert relay.post(CHAT, ASK | {"stream": stream}).status == 200
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("script", [drop, reset])
def test_a_connection_closed_at_the_moment_of_reuse_is_retried_once_on_a_fresh_one(
    relay: Program, upstream: Upstream, script: object
) -> None:
    number = _warm(relay, upstream)
    upstream.next(drop if script is drop else reset)
    assert relay.post(CHAT, ASK).status == 200
    first, second = upstream.requests
    assert first.connection.number == number != second.connection.number
    assert first.body == second.body


def test_the_retry_happens_once_only(relay: Program, upstream: Upstream) -> None:
    _warm(relay, upstream)
    upstream.next(drop, drop, Reply())
    answer = relay.post(CHAT, ASK)
    assert answer.status == 502 and answer.json["error"]["message"]
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "begun", [b"HTTP", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
def test_nothing_is_sent_twice_when_an_answer_had_begun(relay: Program, upstream: Upstream, begun: bytes) -> None:
    async def begin_and_break(call: Call) -> None:
        await call.send(begun)
        call.connection.fin()

    _warm(relay, upstream)
    upstream.next(begin_and_break)
    assert relay.post(CHAT, ASK).status == 502
    assert len(upstream.requests) == 1


def test_a_streamed_upload_is_never_sent_twice(relay: Program, upstream: Upstream) -> None:
    _warm(relay, upstream)
    upstream.next(drop)
    with relay.client() as client:
        client.request("POST", "/v1/files", body=b"x" * 1000)
        status = client.read_answer().status
    bodies = [request.body for request in upstream.requests]
    assert bodies in ([b"x" * 1000], [b"x" * 1000, b"x" * 1000])
    assert status == (502 if len(bodies) == 1 else 404)


def test_an_answer_that_says_close_is_believed(relay: Program, upstream: Upstream) -> None:
    number = _warm(relay, upstream)
    upstream.next(Reply(headers=(("Connection", "close"),), pieces=[b"{}"]))
    assert relay.post(CHAT, ASK).body == b"{}"
    assert relay.post(CHAT, ASK).status == 200
    assert [request.connection.number == number for request in upstream.requests] == [True, False]


def test_a_broken_stream_does_not_poison_the_pool(relay: Program, upstream: Upstream) -> None:
    frames = vendors.chat_frames("gpt-x")
    upstream.next(Reply(headers=vendors.SSE, pieces=frames[:2], framing="chunked", end="cut"))
    relay.post(CHAT, ASK | {"stream": True})
    for _ in range(3):
        assert relay.post(CHAT, ASK | {"stream": True}).body == b"".join(frames)


def test_bytes_after_an_answer_are_not_taken_for_the_next_one(relay: Program, upstream: Upstream) -> None:
    _warm(relay, upstream)
    upstream.next(Reply(pieces=[b"{}"], length=2, framing="length"))
    upstream.hold()
    assert relay.post(CHAT, ASK).body == b"{}"
    with relay.client() as client:
        client.post(CHAT, ASK)
        call = upstream.take()
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlater")
        assert client.read_answer().body == b"first"
        call.done()
    for _ in range(2):
        assert relay.post(CHAT, ASK).body != b"later"
