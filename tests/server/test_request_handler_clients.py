"""Clients that leave, that read slowly, that send slowly, that speak HTTP/1.0, and what their exchanges become."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware
from llmproxy.server import edge
from tests.support import vendors
from tests.support.pieces import Pieces
from tests.support.pooling import HEAD, OK
from tests.support.provider import Reply, Upstream
from tests.support.proxy import ASK, CHAT, Listening, Scripted, provider
from tests.support.raw_http import RawClient
from tests.support.waiting import PATIENCE_S, until

FILES = "/v1/files"


class Waiting(Middleware):
    """Waits in the hook that the test names until it is cancelled."""

    def __init__(self, hook: str) -> None:
        super().__init__(self.Config())
        self._hook = hook
        self.reached = threading.Event()
        self.cancelled = threading.Event()

    async def _wait(self, hook: str) -> None:
        if hook == self._hook:
            self.reached.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

    async def on_request(self, exchange: Exchange) -> Answer | None:
        await self._wait("on_request")
        return None

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        await self._wait("on_response")


def leave(client: RawClient, how: str) -> None:
    client.close() if how == "close" else client.reset()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_before_the_answer_ends_the_call(upstream: Upstream, factory: Any, how: str) -> None:
    upstream.hold()
    with Listening(provider(upstream), factory=factory) as server:
        client = server.client()
        client.post(CHAT, ASK)
        held = upstream.take()
        leave(client, how)

        held.wait_left()
        exchange = server.wait_ended()

        assert (exchange.outcome, exchange.status, exchange.sent_bytes) == ("cancelled", None, 0)
        assert [attempt.ended_s is not None for attempt in exchange.calls] == [True]
        assert server.sent(exchange) == b""
        server.wait_counted(1, status="499")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(
    ("path", "frames"),
    [
        (CHAT, vendors.chat_frames("m")),
        ("/v1/responses", vendors.response_frames("m")),
        ("/v1/messages", vendors.message_frames("m")),
    ],
)
def test_a_client_that_leaves_after_the_last_event_had_everything(
    upstream: Upstream, path: str, frames: list[bytes], how: str
) -> None:
    upstream.hold()
    events = b"".join(frames)
    with Listening(provider(upstream, dialects=["chat", "responses", "messages"])) as server:
        client = server.client()
        client.post(path, ASK)
        held = upstream.take()
        held.send(HEAD + b"%x\r\n%b\r\n" % (len(events), events))
        client.read_body_until(events) if client.read_head() else None
        leave(client, how)

        held.wait_left()
        exchange = server.wait_ended()

        assert (exchange.outcome, exchange.status, exchange.sent_bytes) == ("complete", 200, len(events))
        assert exchange.first_token_s is not None and exchange.summary.complete


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_the_middle_ends_the_call(upstream: Upstream, factory: Any, how: str) -> None:
    upstream.hold()
    with Listening(provider(upstream), factory=factory) as server:
        client = server.client()
        client.post(CHAT, ASK)
        held = upstream.take()
        held.send(HEAD + b"9\r\ndata: 1\n\n\r\n")
        client.read_body_until(b"data: 1\n\n") if client.read_head() else None
        leave(client, how)

        held.wait_left()
        exchange = server.wait_ended()

        assert (exchange.outcome, exchange.status) == ("cancelled", 200)
        assert server.sent(exchange) == b"data: 1\n\n"


def test_a_client_that_leaves_between_requests_leaves_nothing(upstream: Upstream, factory: Any) -> None:
    with Listening(provider(upstream), factory=factory) as server:
        with server.client() as client:
            client.post(CHAT, ASK)
            client.read_answer()
        server.wait_ended()
        until(lambda: not server.edge.connections, "the connection to be gone")

        assert server.runtime.begun == 1


@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_a_client_that_leaves_cancels_the_hook_that_waits(upstream: Upstream, factory: Any, hook: str) -> None:
    waiting = Waiting(hook)
    with Listening(provider(upstream), middlewares=[waiting], factory=factory) as server:
        with server.client() as client:
            client.post(CHAT, ASK)
            assert waiting.reached.wait(PATIENCE_S)

        assert waiting.cancelled.wait(PATIENCE_S)
        exchange = server.wait_ended()
        assert (exchange.outcome, exchange.status) == ("cancelled", None)


@pytest.mark.parametrize("path", [CHAT, FILES])
def test_a_client_that_leaves_within_its_body_is_recorded_once(upstream: Upstream, factory: Any, path: str) -> None:
    if path == FILES:
        upstream.hold_early()
    with Listening(provider(upstream), factory=factory) as server:
        with server.client() as client:
            client.request("POST", path, "Content-Length: 1000")
            client.send(b'{"model"')
            if path == FILES:
                held = upstream.take()
            else:
                until(lambda: server.metrics.in_flight == 1, "the exchange to begin")
        exchange = server.wait_ended()

        assert (exchange.outcome, exchange.status) == ("cancelled", None)
        if path == FILES:
            held.wait_left()
        else:
            assert not upstream.requests


def test_a_client_that_only_stops_sending_gets_no_answer_it_could_not_read(upstream: Upstream, factory: Any) -> None:
    upstream.hold()
    with Listening(provider(upstream), factory=factory) as server, server.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()
        client.half_close()
        held.wait_left()

        assert server.wait_ended().outcome == "cancelled"


def test_a_client_that_does_not_read_slows_the_provider_down(upstream: Upstream, factory: Any) -> None:
    piece, count = b"data: " + b"x" * 65530, 500
    upstream.next(Reply(headers=vendors.SSE, pieces=[b"data: 1\n\n", *[piece] * count], framing="chunked"))
    with Listening(provider(upstream), factory=factory) as server, server.client(receive_buffer=65536) as client:
        client.post(CHAT, ASK)
        until(lambda: upstream.connections and upstream.connections[0].stalled_s, "the provider to be held up")
        assert upstream.connections[0].sent_bytes < count * len(piece) // 2
        assert server.budget.used_bytes < 1 << 20

        assert client.read_answer().body == b"data: 1\n\n" + piece * count
        assert server.wait_ended().sent_bytes == 9 + count * len(piece)


def test_a_client_that_leaves_while_it_is_waited_for_ends_the_call(upstream: Upstream, factory: Any) -> None:
    piece = b"data: " + b"x" * 65530
    upstream.next(Reply(headers=vendors.SSE, pieces=[b"data: 1\n\n", *[piece] * 500], framing="chunked"))
    with Listening(provider(upstream), factory=factory) as server:
        with server.client(receive_buffer=65536) as client:
            client.post(CHAT, ASK)
            until(lambda: upstream.connections and upstream.connections[0].stalled_s, "the provider to be held up")

        assert server.wait_ended().outcome == "cancelled"
        until(lambda: upstream.connections[0].peer_left_s, "the call to be closed")


def test_a_large_whole_answer_to_a_slow_client_is_over_when_it_was_taken(factory: Any) -> None:
    body = b"x" * (32 << 20)
    answer = Answer(status=200, headers=Headers(), body=body)
    with Listening(Scripted("own", answer), factory=factory) as server, server.client(receive_buffer=65536) as client:
        client.post(CHAT, ASK)
        client.read_head()
        assert server.ended == []

        assert client.read_exactly(len(body)) == body
        assert server.wait_ended().outcome == "complete"


def test_two_requests_of_http_1_0_keep_their_connection_when_they_ask_for_it(upstream: Upstream, factory: Any) -> None:
    raw = json.dumps(ASK).encode()
    with Listening(provider(upstream), factory=factory) as server, server.client() as client:
        client.request("POST", CHAT, "Connection: keep-alive", body=raw, version="1.0")
        first = client.read_answer()
        client.request("POST", CHAT, body=raw, version="1.0")
        second = client.read_answer()

        assert (first.framing, first.value("connection")) == ("length", "keep-alive")
        assert (second.framing, second.value("connection")) == ("length", "close")
        assert client.closed_by_peer()
        server.wait_ended(2)


def test_a_stream_for_http_1_0_ends_with_its_connection_and_has_no_chunks(factory: Any) -> None:
    raw, frames = json.dumps(ASK).encode(), vendors.chat_frames("gpt-x")
    stream = Answer(status=200, headers=Headers({"Content-Type": "text/event-stream"}), stream=Pieces(*frames))
    with Listening(Scripted("own", stream), factory=factory) as server, server.client() as client:
        client.request("POST", CHAT, "Connection: keep-alive", body=raw, version="1.0")
        answer = client.read_answer()

        assert (answer.framing, answer.value("connection")) == ("eof", "close")
        assert answer.body == b"".join(frames)
        assert server.wait_ended().outcome == "complete"


@pytest.mark.parametrize("path", [CHAT, FILES])
@pytest.mark.parametrize("expectation", ["100-continue", "100-Continue"])
def test_a_client_is_told_to_go_on_before_its_body_is_waited_for(
    upstream: Upstream, factory: Any, path: str, expectation: str
) -> None:
    raw = json.dumps(ASK).encode()
    with Listening(provider(upstream), factory=factory) as server, server.client() as client:
        client.request("POST", path, f"Expect: {expectation}", f"Content-Length: {len(raw)}")
        assert client.read_interim() == 100
        client.send(raw)
        answer = client.read_answer()

        assert (answer.status, answer.interim) == (200 if path == CHAT else 404, [])
        assert upstream.only.body == raw and upstream.only.value("expect") is None
        assert server.wait_ended().outcome == "complete"


def test_nobody_is_told_to_go_on_whose_request_is_refused(
    upstream: Upstream, factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "_SILENCE_S", 0.05)
    with Listening(provider(upstream), factory=factory) as server:
        for path, status in (("/nowhere", 404), (CHAT, 413)):
            with server.client() as client:
                client.request("POST", path, "Expect: 100-continue", "Content-Length: 10000000")
                answer = client.read_answer()

                assert (answer.status, answer.interim, answer.value("connection")) == (status, [], "close")
                assert client.ended()


def test_http_1_0_is_never_told_to_go_on(upstream: Upstream, factory: Any) -> None:
    raw = json.dumps(ASK).encode()
    with Listening(provider(upstream), factory=factory) as server, server.client() as client:
        client.request("POST", CHAT, "Expect: 100-continue", f"Content-Length: {len(raw)}", version="1.0")
        until(lambda: server.metrics.in_flight == 1, "the exchange to begin")
        client.send(raw)

        assert client.read_answer().interim == []


def test_an_answer_that_comes_before_the_upload_is_done_reaches_the_client(upstream: Upstream, factory: Any) -> None:
    upstream.hold_early()
    with Listening(provider(upstream), factory=factory) as server, server.client() as client:
        client.request("POST", FILES, "Content-Length: 1000000")
        client.send(b"x" * 1000)
        upstream.take().send(OK.replace(b"200 OK", b"413 Content Too Large"))
        answer = client.read_answer()

        assert (answer.status, answer.body, answer.value("connection")) == (413, b"ok", "close")
        assert server.wait_ended().outcome == "complete"
