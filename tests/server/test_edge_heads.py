"""Heads of requests: how large one may be, and that all of them count as memory while they are here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.provider import Upstream
from tests.support.proxy import ASK, CHAT, Listening, limited, provider
from tests.support.waiting import until

KB = 1024
LINE = b"GET /v1/files HTTP/1.1\r\nHost: x\r\n"
MAX_BYTES = 8 * KB


@pytest.fixture
def server(upstream: Upstream) -> Iterator[Listening]:
    """Yield a server that accepts heads of 8 KB and holds 20 KB."""
    limits = limited(max_head_size=MAX_BYTES)
    with Listening(provider(upstream), limits=limits, held_bytes=20 * KB) as server:
        yield server


def fields(size: int, each: int) -> bytes:
    """Header fields of `size` bytes in all, of `each` bytes; the last one has the rest."""
    field = b"X: " + b"v" * (each - 5) + b"\r\n"
    before = field * (size // each - 1)
    return before + b"X: " + b"w" * (size - len(before) - 5) + b"\r\n"


@pytest.mark.parametrize("each", [MAX_BYTES // 2, 100, 40])
@pytest.mark.parametrize("pieces", [1, 5])
@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_is_for_the_whole_head_and_exact(
    server: Listening, upstream: Upstream, each: int, pieces: int, over: int
) -> None:
    head = LINE + fields(MAX_BYTES + over - len(LINE) - 2, each) + b"\r\n"
    assert len(head) == MAX_BYTES + over
    with server.client() as client:
        for number in range(pieces):
            client.send(head[number * len(head) // pieces : (number + 1) * len(head) // pieces])
            if number < pieces - 1:
                client.pause(0.02)
        answer = client.read_answer("GET")
        if over:
            assert answer.status == 431 and "server.max_head_size" in answer.json["error"]["message"]
            assert client.ended()
        else:
            assert answer.status == 404 and server.wait_ended().held_bytes == 0
    assert len(upstream.requests) == 1 - over


def test_a_head_without_an_end_is_refused_at_the_limit(server: Listening) -> None:
    with server.client() as client:
        client.send(LINE)
        client.offer((b"X: " + b"v" * 1000 + b"\r\n") * 1000, 0.2)
        assert client.read_answer("GET").status == 431


def test_unfinished_heads_count_and_are_given_back(server: Listening) -> None:
    with server.client() as first, server.client() as second, server.client() as third:
        for client in (first, second):
            client.send(LINE + b"X: " + b"v" * 7 * KB)
        until(lambda: server.budget.used_bytes > 14 * KB, "the heads to be counted")
        third.send(LINE + b"X: " + b"v" * 7 * KB)
        refused = third.read_answer("GET")
        assert (refused.status, refused.value("retry-after")) == (503, "1")
        with server.client() as other:
            other.request("GET", "/health")
            assert other.read_answer("GET").status == 200
        first.close()
        until(lambda: server.budget.used_bytes < 8 * KB, "the head of a client that left to be forgotten")
        second.send(b"\r\n\r\n")
        assert second.read_answer("GET").status == 404
    until(lambda: server.budget.used_bytes == 0, "everything to be given back")


def test_a_large_head_counts_until_its_exchange_ends(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK, "X-Large: " + "v" * 6 * KB)
        call = upstream.take()
        assert 6 * KB < server.budget.used_bytes < 8 * KB
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        call.done()
        assert client.read_answer().status == 200
    assert server.wait_ended().held_bytes == 0


def test_heads_that_wait_for_an_earlier_request_count(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        call = upstream.take()
        client.send((LINE + b"X: " + b"v" * 3 * KB + b"\r\n\r\n") * 3)
        until(lambda: server.budget.used_bytes > 3 * KB, "the heads to be counted")
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        call.done()
        assert client.read_answer().status == 200
    until(lambda: server.budget.used_bytes == 0, "everything to be given back")


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
@pytest.mark.parametrize("flood", [b"X-Trailer: y\r\n", b"X: " + b"y" * 2000 + b"\r\n"])
def test_trailers_without_an_end_are_refused(server: Listening, path: str, flood: bytes) -> None:
    with server.client() as client:
        client.request("POST", path, "Transfer-Encoding: chunked")
        client.send(b"2\r\n{}\r\n0\r\n")
        client.offer(flood * (256 * KB // len(flood)), 0.2)
        assert client.read_answer().status == 400
        assert client.ended()


@pytest.mark.parametrize("line", [b"5" + b";x=y" * 200_000, b"0" * 900_000 + b"5"])
def test_a_chunk_line_without_an_end_is_refused(server: Listening, line: bytes) -> None:
    with server.client() as client:
        client.request("POST", CHAT, "Transfer-Encoding: chunked")
        client.send(b"2\r\n{}\r\n")
        client.offer(line, 0.2)
        assert client.read_answer().status == 400


def test_many_chunks_whose_lines_come_alone_are_one_body(server: Listening, upstream: Upstream) -> None:
    with server.client() as client:
        client.request("POST", "/v1/files", "Transfer-Encoding: chunked")
        for _ in range(6):
            client.send(b"1;" + b"e" * 2 * KB)
            client.pause(0.01)
            client.send(b"\r\nx\r\n")
            client.pause(0.01)
        client.send(b"0\r\n\r\n")
        assert client.read_answer().status == 404
    assert upstream.only.body == b"xxxxxx"
