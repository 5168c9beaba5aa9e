"""The client's sockets: requests one after the other, time limits, malformed heads and bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmproxy.server import edge
from tests.support import vendors
from tests.support.pooling import OK
from tests.support.provider import Reply, Upstream
from tests.support.proxy import ASK, CHAT, Listening, limited, provider
from tests.support.raw_http import RawAnswer, RawClient
from tests.support.waiting import PATIENCE_S, until

FILES = "/v1/files"
LIMIT_S = 0.1


@pytest.fixture
def server(upstream: Upstream, factory: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    monkeypatch.setattr(edge, "_SILENCE_S", 0.05)
    with Listening(provider(upstream), factory=factory) as server:
        yield server


@pytest.fixture
def hasty(upstream: Upstream, factory: Any) -> Iterator[Listening]:
    """Yield a server with short time limits for heads and idle connections."""
    hurry = limited(header_timeout_s=LIMIT_S, keepalive_timeout_s=LIMIT_S, body_timeout_s=LIMIT_S)
    with Listening(provider(upstream), factory=factory, limits=hurry) as server:
        yield server


def get(number: int) -> bytes:
    return b"GET /v1/files/%d HTTP/1.1\r\nHost: x\r\n\r\n" % number


def post(number: int) -> bytes:
    body = json.dumps({"model": "gpt-x", "n": number}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def refused(client: RawClient, *statuses: int) -> RawAnswer:
    """Return the answer to what cannot be served: proper HTTP/1.1, then the end of the connection."""
    answer = client.read_answer()
    assert (answer.version, answer.status in statuses) == ("HTTP/1.1", True), answer
    assert answer.value("x-request-id") and answer.value("connection") == "close"
    assert answer.value("content-type") == "application/json" and answer.json["error"]["message"]
    assert client.ended()
    return answer


def test_one_connection_serves_request_after_request(server: Listening) -> None:
    with server.client() as client:
        ids = set()
        for number in range(1, 4):
            client.post(CHAT, ASK)
            answer = client.read_answer()
            assert (answer.status, answer.value("connection")) == (200, None)
            ids.add(server.wait_ended(number).request_id)
        assert len(ids) == 3 and len(server.edge.connections) == 1


@pytest.mark.parametrize("count", [2, 30, 100])
def test_pipelined_requests_are_answered_in_order(server: Listening, upstream: Upstream, count: int) -> None:
    upstream.next(*(Reply(pieces=[b"%d" % number]) for number in range(count)))
    with server.client() as client:
        client.send(b"".join(get(number) if number % 2 else post(number) for number in range(count)))
        assert [client.read_answer().body for _ in range(count)] == [b"%d" % number for number in range(count)]

    assert [request.method for request in upstream.requests[:2]] == ["POST", "GET"]
    server.wait_ended(count)


def test_a_pipelined_request_waits_until_a_stream_before_it_is_over(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.send(post(1) + post(2))
        held = upstream.take()
        held.give(vendors.streamed(vendors.chat_frames("gpt-x")))
        held.done()

        assert client.read_answer().body == b"".join(vendors.chat_frames("gpt-x"))
        assert client.read_answer().json["model"] == "gpt-x"
    server.wait_ended(2)


@pytest.mark.parametrize("cut", [1, 15, 60, -1])
def test_a_request_may_come_in_pieces(server: Listening, upstream: Upstream, cut: int) -> None:
    whole = post(1)
    with server.client() as client:
        client.send(whole[:cut])
        until(lambda: server.edge.connections, "the connection to be there")
        client.send(whole[cut:])
        assert client.read_answer().status == 200


def test_a_client_that_wants_to_close_is_obeyed(server: Listening) -> None:
    with server.client() as client:
        client.post(CHAT, ASK, "Connection: close")
        assert client.read_answer().value("connection") == "close"
        assert client.closed_by_peer()


def test_empty_lines_before_a_request_are_forgiven(server: Listening) -> None:
    with server.client() as client:
        client.send(b"\r\n\r\n" + post(1))
        assert client.read_answer().status == 200


@pytest.mark.parametrize("size", [8 * 1024, 30 * 1024])
def test_long_header_fields_pass_both_ways(server: Listening, upstream: Upstream, size: int) -> None:
    upstream.next(Reply(headers=(("X-Long", "v" * size),), pieces=[b"{}"]))
    with server.client() as client:
        client.post(f"{CHAT}?q={'q' * size}", ASK, f"X-Asked: {'a' * size}")
        answer = client.read_answer()

    assert (answer.status, answer.value("x-long")) == (200, "v" * size)
    assert upstream.only.value("x-asked") == "a" * size and len(upstream.only.target) > size


@pytest.mark.parametrize(
    "head",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /health\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,
    ],
)
@pytest.mark.parametrize("before", [0, 1])
def test_a_malformed_head_is_answered_counted_and_ends_the_connection(
    server: Listening, upstream: Upstream, head: bytes, before: int
) -> None:
    with server.client() as client:
        for _ in range(before):
            client.send(get(1))
            client.read_answer()
        client.send(head)
        refused(client, 400, 505)

    server.wait_counted(1, path="malformed")
    assert len(upstream.requests) == before
    assert len(server.ended) == before


def test_a_head_that_is_too_long_is_a_431(server: Listening) -> None:
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n")
        assert refused(client, 431).json["error"]["code"] == "header_too_large"


def test_the_codings_of_a_transfer_are_not_forgotten(server: Listening, upstream: Upstream) -> None:
    with server.client() as client:
        client.send(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
        refused(client, 501)
    assert not upstream.requests


def test_a_good_request_before_a_malformed_one_is_answered(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.send(get(1))
        held = upstream.take()
        client.send(b"GARBAGE\r\n\r\n")
        held.send(OK)
        held.done()

        assert client.read_answer().body == b"ok"
        refused(client, 400)
    server.wait_ended()


BROKEN = [b"zz\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"fffffffffffffffff\r\n", b"\r\n\r\n"]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_wrong_chunk_in_a_held_body_is_a_400(server: Listening, upstream: Upstream, broken: bytes) -> None:
    with server.client() as client:
        client.request("POST", CHAT, "Transfer-Encoding: chunked")
        client.send(b"2\r\n{}\r\n")
        until(lambda: server.metrics.in_flight == 1, "the exchange to begin")
        client.send(broken)

        assert refused(client, 400).json["error"]["code"] == "invalid_framing"
    exchange = server.wait_ended()
    assert (exchange.outcome, exchange.status) == ("error", 400)
    assert not upstream.requests


@pytest.mark.parametrize("broken", BROKEN)
def test_a_wrong_chunk_in_an_upload_is_a_400_and_cuts_it(server: Listening, upstream: Upstream, broken: bytes) -> None:
    upstream.hold_early()
    with server.client() as client:
        client.request("POST", FILES, "Transfer-Encoding: chunked")
        client.send(b"2\r\nhi\r\n")
        held = upstream.take()
        client.send(broken)

        refused(client, 400)
        held.wait_left()
    assert server.wait_ended().outcome == "error"


def test_a_wrong_chunk_in_the_packet_of_the_head_is_a_400(server: Listening, upstream: Upstream) -> None:
    with server.client() as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n"
        )
        refused(client, 400)
    assert not upstream.requests


def test_what_is_left_of_a_refused_body_is_read_so_that_the_client_sees_the_answer(server: Listening) -> None:
    with server.client() as client:
        client.request("POST", "/nowhere", "Content-Length: 3000000")
        client.send(b"x" * 3_000_000)
        assert client.read_answer().status == 404
        assert client.closed_by_peer()


@pytest.mark.parametrize("begun", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"])
@pytest.mark.parametrize("before", [0, 1])
def test_a_connection_without_a_whole_head_is_closed_in_time(hasty: Listening, before: int, begun: bytes) -> None:
    with hasty.client() as client:
        for _ in range(before):
            client.send(get(1))
            client.read_answer()
        if begun:
            client.send(begun)
            assert refused(client, 408).json["error"]["code"] == "request_timeout"
        else:
            assert client.closed_by_peer()
    hasty.wait_counted(bool(begun), path="malformed", status="408")


@pytest.mark.parametrize("coding", ["Content-Length: 2", "Transfer-Encoding: chunked"])
def test_the_last_of_a_body_is_not_taken_for_the_next_head(hasty: Listening, coding: str) -> None:
    with hasty.client() as client:
        client.request("POST", CHAT, coding)
        until(lambda: hasty.metrics.in_flight == 1, "the exchange to begin")
        client.send(b"{}" if coding.startswith("C") else b"2\r\n{}\r\n0\r\n\r\n")
        client.read_answer()

        assert client.closed_by_peer()


def test_a_head_that_comes_drop_by_drop_has_one_limit_for_all_of_it(hasty: Listening) -> None:
    with hasty.client() as client, pytest.raises(AssertionError, match="the peer answered or left"):
        for byte in b"GET / HTTP/1.1\r\nX-Slow: " + b"x" * 1000:
            client.send(bytes([byte]))
            client.pause(LIMIT_S / 20)


def test_a_head_may_take_longer_than_a_connection_may_be_idle(upstream: Upstream, factory: Any) -> None:
    hurry = limited(keepalive_timeout_s=LIMIT_S)
    with Listening(provider(upstream), factory=factory, limits=hurry) as server, server.client() as client:
        client.send(get(1))
        client.read_answer()
        client.send(get(2)[:10])
        client.pause(3 * LIMIT_S)
        client.send(get(2)[10:])
        assert client.read_answer().status == 404


def test_a_connection_may_be_idle_for_longer_than_a_head_may_take(upstream: Upstream, factory: Any) -> None:
    hurry = limited(header_timeout_s=LIMIT_S)
    with Listening(provider(upstream), factory=factory, limits=hurry) as server, server.client() as client:
        client.send(get(1))
        client.read_answer()
        client.pause(3 * LIMIT_S)
        client.send(get(2))
        assert client.read_answer().status == 404


def test_no_limit_of_heads_ends_a_call_that_takes_longer(hasty: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with hasty.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()
        client.pause(3 * LIMIT_S)
        held.send(OK)
        held.done()
        assert client.read_answer().body == b"ok"


def test_no_limit_of_heads_ends_a_body_that_keeps_moving(upstream: Upstream, factory: Any) -> None:
    body = json.dumps(ASK).encode()
    hurry = limited(header_timeout_s=LIMIT_S, keepalive_timeout_s=LIMIT_S, body_timeout_s=PATIENCE_S)
    with Listening(provider(upstream), factory=factory, limits=hurry) as server, server.client() as client:
        client.request("POST", CHAT, f"Content-Length: {len(body)}")
        for start in range(0, len(body), 8):
            client.pause(LIMIT_S / 2)
            client.send(body[start : start + 8])
        assert client.read_answer().status == 200


@pytest.mark.parametrize("path", [CHAT, FILES])
def test_a_body_that_stands_still_is_a_408(hasty: Listening, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(edge, "_SILENCE_S", 0.05)
    with hasty.client() as client:
        client.request("POST", path, "Content-Length: 100")
        client.send(b"{")
        assert refused(client, 408).json["error"]["code"] == "request_timeout"
    assert hasty.wait_ended().status == 408
