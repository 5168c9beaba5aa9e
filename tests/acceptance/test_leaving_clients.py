"""Promise 5: a client that leaves stops the work at once, and is still recorded, exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support import vendors
from tests.support.program import Program, counted
from tests.support.provider import Upstream
from tests.support.raw_http import RawClient
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TRIES = 5  # a busy machine needs more than a second now and then
WAYS: list[Callable[[RawClient], None]] = [RawClient.close, RawClient.reset]


@pytest.mark.ledger("T2")
@pytest.mark.parametrize("leave", WAYS)
def test_a_client_that_leaves_mid_stream_ends_the_upstream_call_within_a_second(
    relay: Program, upstream: Upstream, leave: Callable[[RawClient], None]
) -> None:
    frame = vendors.chat_frames("gpt-x")[0]

    def leave_once() -> float:
        with (
            counted(relay, "http_requests_total", 1, path=CHAT),
            counted(relay, "llmproxy_client_cancelled_total", 1, path=CHAT),
            counted(relay, "llmproxy_provider_requests_total", 1, outcome="cancelled"),
            relay.client() as client,
        ):
            upstream.hold()
            client.post(CHAT, {"model": "gpt-x", "stream": True})
            call = upstream.take()
            call.send(HEAD + b"%x\r\n%b\r\n" % (len(frame), frame))
            client.read_head()
            client.read_chunk()
            left_s = time.monotonic()
            leave(client)
            return call.wait_left() - left_s

    assert any(leave_once() < 1.0 for _ in range(TRIES))
    assert relay.metric("llmproxy_in_flight_requests") <= 1, "only the question itself"


@pytest.mark.ledger("T2")
@pytest.mark.parametrize("path", [CHAT, "/v1/files", "/somewhere/else"])
@pytest.mark.parametrize("leave", WAYS)
def test_a_client_that_leaves_before_the_answer_ends_the_upstream_call(
    relay: Program, upstream: Upstream, leave: Callable[[RawClient], None], path: str
) -> None:
    def leave_once() -> float:
        upstream.forget()
        with counted(relay, "http_requests_total", 1, status="499"), relay.client() as client:
            upstream.hold()
            client.post(path, {"model": "gpt-x"})
            call = upstream.take()
            left_s = time.monotonic()
            leave(client)
            return call.wait_left() - left_s

    assert any(leave_once() < 1.0 for _ in range(TRIES))
    assert len(upstream.requests) == 1


def test_a_client_that_leaves_in_the_middle_of_its_upload_reaches_nobody(relay: Program, upstream: Upstream) -> None:
    with counted(relay, "http_requests_total", 1, status="499"), relay.client() as client:
        client.request("POST", CHAT, "Content-Length: 1000")
        client.send(b'{"model": ')
        client.reset()
    assert not upstream.requests


def test_a_client_that_leaves_a_streamed_upload_cuts_it_at_the_upstream(relay: Program, upstream: Upstream) -> None:
    with counted(relay, "http_requests_total", 1, status="499"), relay.client() as client:
        upstream.hold_early()
        client.request("POST", "/v1/files", "Content-Length: 1000000")
        client.send(b"x" * 1000)
        call = upstream.take()
        client.reset()
        call.wait_left()


def test_many_clients_leaving_at_once_leave_nothing_behind(relay: Program, upstream: Upstream) -> None:
    clients = []
    for _ in range(40):
        upstream.hold()
        client = relay.client()
        client.post(CHAT, {"model": "gpt-x", "stream": True})
        clients.append(client)
    calls = [upstream.take() for _ in clients]
    until(lambda: relay.metric("llmproxy_in_flight_requests") >= 40, "all to be counted as running")
    for client in clients:
        client.reset()
    for call in calls:
        call.wait_left()
    until(lambda: relay.metric("llmproxy_in_flight_requests") <= 1, "none to be running")
    until(lambda: relay.metric("llmproxy_held_bytes") == 0, "nothing to be held")
