"""How the server stops: what is idle at once, what runs gets its time, what is late ends with an error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware
from llmproxy.server import edge
from tests.support import vendors
from tests.support.pooling import HEAD, OK
from tests.support.provider import Reply, Upstream
from tests.support.proxy import ASK, CHAT, Listening, Scripted, provider
from tests.support.raw_http import Cut
from tests.support.waiting import PATIENCE_S, until

EVENT = b"data: {}\n\n"
CHUNK = b"a\r\n" + EVENT + b"\r\n"


@pytest.fixture
def server(upstream: Upstream, factory: Any) -> Iterator[Listening]:
    with Listening(provider(upstream), factory=factory) as server:
        yield server


def test_idle_connections_are_closed_at_once(server: Listening) -> None:
    with server.client() as fresh, server.client() as used, server.client() as begun:
        used.post(CHAT, ASK)
        used.read_answer()
        begun.send(b"GET / HTTP/1.1\r\nHost: ")
        until(lambda: len(server.edge.connections) == 3, "all connections to be there")

        server.stop(60).result(PATIENCE_S)

        assert fresh.ended() and used.ended() and begun.ended()


def test_a_running_call_is_answered_and_its_connection_closed(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()
        stopping = server.stop(60)
        until(lambda: server.edge.shared.stopping, "the stop to begin")
        held.send(OK)
        held.done()

        answer = client.read_answer()
        assert (answer.status, answer.body, answer.value("connection")) == (200, b"ok", "close")
        assert client.closed_by_peer()
        stopping.result(PATIENCE_S)
    assert server.wait_ended().outcome == "complete"


def test_a_running_stream_is_finished_and_its_connection_closed(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()
        held.send(HEAD + CHUNK)
        client.read_head()
        assert client.read_chunk() == EVENT
        stopping = server.stop(60)
        until(lambda: server.edge.shared.stopping, "the stop to begin")
        held.send(CHUNK + b"0\r\n\r\n")
        held.done()

        assert b"".join(client.read_chunks()) == EVENT
        assert client.closed_by_peer()
        stopping.result(PATIENCE_S)
    assert server.wait_ended().status == 200


@pytest.mark.parametrize(("path", "begin"), [(CHAT, b"data: {"), ("/v1/responses", b"event: error\ndata: {")])
def test_a_late_stream_ends_with_an_error_event(server: Listening, upstream: Upstream, path: str, begin: bytes) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(path, ASK)
        held = upstream.take()
        held.send(HEAD + CHUNK)
        client.read_head()
        assert client.read_chunk() == EVENT

        server.stop(0.05).result(PATIENCE_S)

        event = b"".join(client.read_chunks())
        assert event.startswith(begin) and b"stopping" in event
        assert client.ended()
        held.wait_left()
    exchange = server.wait_ended()
    assert (exchange.outcome, exchange.status) == ("broken", 200)
    assert exchange.error is not None and exchange.error.code == "stopping"
    assert server.sent(exchange) == EVENT + event


def test_a_late_call_without_an_answer_is_a_503_that_may_be_tried_again(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()

        server.stop(0.05).result(PATIENCE_S)

        answer = client.read_answer()
        assert (answer.status, answer.json["error"]["code"]) == (503, "stopping")
        assert answer.value("retry-after") and answer.value("connection") == "close" and client.ended()
        held.wait_left()
    exchange = server.wait_ended()
    assert (exchange.outcome, exchange.status) == ("error", 503)


@pytest.mark.parametrize("tail", [b"data: {", b"x" * 100])
def test_a_late_stream_within_a_frame_is_cut(server: Listening, upstream: Upstream, tail: bytes) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()
        held.send(HEAD + CHUNK + b"%x\r\n%b\r\n" % (len(tail), tail))
        client.read_head()
        assert client.read_body_until(tail[-1:])

        server.stop(0.05).result(PATIENCE_S)

        with pytest.raises(Cut):
            client.read_chunk()
        held.wait_left()
    assert server.wait_ended().outcome == "broken"


def test_a_late_plain_answer_that_had_begun_is_cut(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()
        held.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)
        client.read_head()

        server.stop(0.05).result(PATIENCE_S)

        with pytest.raises(Cut):
            client.read_exactly(1_000_000)
    assert server.wait_ended().outcome == "broken"


def test_a_client_that_does_not_read_cannot_hold_up_the_stop(
    server: Listening, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "LAST_ERRORS_S", 0.1)
    piece = b"data: " + b"x" * 65530
    upstream.next(Reply(headers=vendors.SSE, pieces=[EVENT, *[piece] * 500], framing="chunked"))
    with server.client(receive_buffer=65536) as client:
        client.post(CHAT, ASK)
        until(lambda: upstream.connections and upstream.connections[0].stalled_s, "the provider to be held up")

        server.stop(0.05).result(PATIENCE_S)

        assert server.wait_ended().outcome == "broken"
        until(lambda: not server.edge.connections, "the connection to be gone")


def test_requests_that_come_while_a_call_runs_on_their_connection_are_not_begun(
    server: Listening, upstream: Upstream
) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()
        client.post(CHAT, ASK)
        stopping = server.stop(60)
        until(lambda: server.edge.shared.stopping, "the stop to begin")
        held.send(OK)
        held.done()

        assert client.read_answer().body == b"ok"
        assert client.ended()
        stopping.result(PATIENCE_S)
    assert len(upstream.requests) == 1
    server.wait_ended()


def test_a_connection_that_is_accepted_after_the_stop_began_gets_a_503(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client, server.client() as late:
        client.post(CHAT, ASK)
        held = upstream.take()
        server.edge.shared.stopping = True
        late.post(CHAT, ASK)
        answer = late.read_answer()
        assert (answer.status, answer.value("connection")) == (503, "close")
        assert late.ended()
        held.send(OK)
        held.done()
        client.read_answer()
    server.wait_ended(2)


def test_a_request_that_arrives_in_the_moment_of_the_stop_is_answered(server: Listening) -> None:
    async def arrive_and_stop() -> None:
        [connection] = server.edge.connections
        assert isinstance(connection, edge.Connection)
        connection.data_received(b"GET /health HTTP/1.1\r\nHost: %s\r\n\r\n" % host)
        await server.edge.stop(60)

    with server.client() as client:
        host = b"127.0.0.1:%d" % server.port
        client.request("GET", "/health")
        assert client.read_answer("GET").status == 200
        until(lambda: all(not each.running for each in server.edge._all()), "the connection to be idle")
        stopping = server.begin(arrive_and_stop())
        answer = client.read_answer("GET")
        assert (answer.status, answer.value("connection")) == (503, "close") and client.ended()
        stopping.result(PATIENCE_S)


def test_a_page_of_ours_says_that_it_stops(server: Listening) -> None:
    with server.client() as client:
        until(lambda: server.edge.connections, "the connection to be there")
        server.edge.shared.stopping = True
        client.request("GET", "/health")
        answer = client.read_answer("GET")

        assert (answer.status, answer.json["status"], answer.value("connection")) == (503, "stopping", "close")


def test_a_second_signal_cuts_at_once(server: Listening, upstream: Upstream) -> None:
    upstream.hold()
    with server.client() as client:
        client.post(CHAT, ASK)
        held = upstream.take()
        stopping = server.stop(60)
        until(lambda: server.edge.shared.stopping, "the stop to begin")

        server.begin(_cut(server))

        assert client.read_answer().status == 503
        stopping.result(PATIENCE_S)
        held.wait_left()
    assert server.wait_ended().outcome == "error"


async def _cut(server: Listening) -> None:
    server.edge.cut()


class Stubborn(Middleware):
    """Holds on although it is cancelled, a while."""

    async def on_request(self, exchange: Exchange) -> Answer | None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.1)
            raise
        return None


def test_a_hook_that_cleans_up_is_waited_for_a_while(factory: Any) -> None:
    own = Scripted("own", Answer(status=200, headers=Headers()))
    with Listening(own, middlewares=[Stubborn(Stubborn.Config())], factory=factory) as server:
        with server.client() as client:
            client.post(CHAT, ASK)
            until(lambda: server.runtime.running == 1, "the exchange to begin")

            server.stop(0.05).result(PATIENCE_S)

            assert client.read_answer().status == 503
        assert server.wait_ended().outcome == "error"


def test_stopping_with_nobody_there_takes_no_time(server: Listening) -> None:
    server.stop(60).result(PATIENCE_S)

    assert server.edge.shared.stopping
