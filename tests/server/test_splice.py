"""The splice of a WebSocket, byte for byte, with peers that keep to nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.provider import CERTIFICATES, Upstream, drop, tunnel
from tests.support.proxy import Listening, limited, loops, provider
from tests.support.raw_http import RawClient
from tests.support.socket_upstream import (
    ACCEPTED,
    HANDSHAKE,
    MASK,
    RawPeer,
    RawProvider,
    SocketUpstream,
    frame,
    open_socket,
)
from tests.support.waiting import PATIENCE_S, until

REALTIME = "/v1/realtime?model=gpt-realtime"


@pytest.fixture(params=loops(), ids=lambda factory: factory.__module__.partition(".")[0])
def factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    made: Callable[[], asyncio.AbstractEventLoop] = request.param
    return made


@pytest.fixture
def upstream() -> Iterator[RawProvider]:
    with RawProvider() as upstream:
        yield upstream


@pytest.fixture
def server(upstream: RawProvider, factory: Any) -> Iterator[Listening]:
    with Listening(provider(upstream), factory=factory) as server:
        yield server


def opened(server: Listening, upstream: RawProvider, behind: bytes = b"") -> tuple[RawClient, RawPeer]:
    """Return both ends of an open WebSocket; the provider sends `behind` with its head."""
    client = server.client()
    client.request("GET", REALTIME, *HANDSHAKE)
    call = upstream.take()
    call.send(ACCEPTED + behind)
    assert client.read_interim() == 101
    return client, call


def test_bytes_pass_both_ways_as_they_are(server: Listening, upstream: RawProvider) -> None:
    client, call = opened(server, upstream, behind=frame(1, b"with the head"))
    with client:
        assert client.read_exactly(15) == frame(1, b"with the head")
        odd = frame(1, b"a", final=False, key=MASK) + frame(9, b"p", key=MASK) + frame(0, b"b", key=MASK)
        client.send(odd)
        assert call.read_exactly(len(odd)) == odd
        call.send(odd)
        assert client.read_exactly(len(odd)) == odd
    assert call.ended()
    call.close()
    ended = server.wait_ended()
    assert (ended.outcome, ended.status) == ("cancelled", 101)
    assert ended.websocket is not None
    assert (ended.websocket.client_frames, ended.websocket.closed_by) == (3, "client")


def test_garbage_passes_too(server: Listening, upstream: RawProvider) -> None:
    client, call = opened(server, upstream)
    with client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert call.read_exactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        call.send(b"\xff" * 100)
        assert client.read_exactly(100) == b"\xff" * 100
    assert call.ended()
    call.close()
    server.wait_ended()


def test_frames_before_the_101_arrive_behind_it(server: Listening, upstream: RawProvider) -> None:
    early = frame(1, b"early", key=MASK)
    with server.client() as client:
        client.send(
            f"GET {REALTIME} HTTP/1.1\r\nHost: x\r\n".encode() + "\r\n".join([*HANDSHAKE, "", ""]).encode() + early
        )
        call = upstream.take()
        client.send(early)
        call.send(ACCEPTED)
        assert client.read_interim() == 101
        assert call.read_exactly(2 * len(early)) == 2 * early
    assert call.ended()
    call.close()
    server.wait_ended()


def test_a_client_that_floods_before_the_101_is_held_up(server: Listening, upstream: RawProvider) -> None:
    with server.client() as client:
        client.request("GET", REALTIME, *HANDSHAKE)
        call = upstream.take()
        assert client.offer(b"\x82\xff" + b"x" * (64 << 20), 0.2) < 24 << 20, "the sockets' own buffers"
        call.close()
    server.wait_ended()


@pytest.mark.parametrize(
    "head", [ACCEPTED.replace(b"s3p", b"xxx"), ACCEPTED.replace(b"Upgrade: websocket", b"Upgrade: h2c")]
)
def test_a_wrong_handshake_of_the_provider_is_a_502(server: Listening, upstream: RawProvider, head: bytes) -> None:
    with server.client() as client:
        client.request("GET", REALTIME, *HANDSHAKE)
        call = upstream.take()
        call.send(head)
        answer = client.read_answer("GET")
    assert (answer.status, answer.json["error"]["code"]) == (502, "bad_upstream_answer")
    server.wait_ended()


def test_a_101_with_its_end_in_one_packet_is_delivered(server: Listening, upstream: RawProvider) -> None:
    last = frame(1, b"bad model") + frame(8, b"\x0f\xa1")
    client, call = opened(server, upstream, behind=last)
    call.half_close()
    with client:
        assert client.read_exactly(len(last)) == last
        assert client.ended()
    ended = server.wait_ended()
    assert ended.websocket is not None
    assert (ended.outcome, ended.websocket.close_code, ended.websocket.closed_by) == ("complete", 4001, "provider")


def test_a_half_close_leaves_the_other_direction_open(server: Listening, upstream: RawProvider) -> None:
    client, call = opened(server, upstream)
    with client:
        client.send(frame(8, b"\x03\xe8", key=MASK))
        client.half_close()
        assert call.read_exactly(8)
        call.send(frame(1, b"last words") + frame(8, b"\x03\xe8"))
        assert client.read_exactly(16) == frame(1, b"last words") + frame(8, b"\x03\xe8")
        call.half_close()
        assert client.ended()
    assert server.wait_ended().outcome == "complete"


def test_a_reset_within_a_frame_ends_both(server: Listening, upstream: RawProvider) -> None:
    client, call = opened(server, upstream)
    with client:
        call.send(frame(2, b"x" * 1000)[:500])
        assert len(client.read_exactly(500)) == 500
        call.reset()
        assert client.ended()
    ended = server.wait_ended()
    assert ended.outcome == "broken" and ended.error is not None
    client, call = opened(server, upstream)
    client.send(frame(2, b"x" * 1000, key=MASK)[:500])
    client.reset()
    call.read_exactly(500)
    assert call.ended()
    call.close()
    assert server.wait_ended(2).outcome == "cancelled"


def test_a_silent_websocket_is_closed_with_1001(upstream: RawProvider, factory: Any) -> None:
    limits = replace(limited(), websocket_idle_s=0.2)
    with Listening(provider(upstream), factory=factory, limits=limits) as server:
        client, call = opened(server, upstream)
        with client:
            assert client.read_exactly(4) == b"\x88\x02\x03\xe9"
            close = call.read_exactly(8)
            assert close[:2] == b"\x88\x82", "masked, as from a client"
            client.send(frame(8, b"\x03\xe9", key=MASK))
            assert client.ended()
            call.send(frame(8, b"\x03\xe9"))
            assert call.ended()
        ended = server.wait_ended()
    assert ended.websocket is not None
    assert (ended.outcome, ended.websocket.close_code, ended.websocket.closed_by) == ("complete", 1001, "proxy")


def test_a_close_frame_of_ours_waits_for_the_end_of_a_frame(server: Listening, upstream: RawProvider) -> None:
    client, call = opened(server, upstream)
    whole = frame(2, b"x" * 1000)
    with client:
        call.send(whole[:500])
        assert client.read_exactly(500) == whole[:500]
        stopping = server.stop(0.05)
        until(lambda: server.edge.shared.stopping, "it to stop")
        assert call.read_exactly(8)[:2] == b"\x88\x82", "this direction is between frames"
        call.send(whole[500:] + frame(1, b"not passed on"))
        assert client.read_exactly(len(whole) - 500 + 4) == whole[500:] + b"\x88\x02\x03\xe9"
        assert client.ended()
        stopping.result(PATIENCE_S)


@pytest.mark.parametrize("slow", ["client", "provider"])
def test_a_slow_reader_holds_up_the_other_side(upstream: RawProvider, factory: Any, slow: str) -> None:
    with Listening(provider(upstream), factory=factory) as server:
        client, call = opened(server, upstream)
        with client:
            if slow == "provider":
                assert client.offer(b"\x82\xff" + b"x" * (64 << 20), 0.2) < 24 << 20, "the sockets' own buffers"
            else:
                sent = call.offer(b"\x82\x7f" + b"x" * (64 << 20), 0.2)
                assert sent < 24 << 20
        call.close()
        server.wait_ended()


async def test_a_frame_of_64_mb_passes(factory: Any) -> None:
    with SocketUpstream() as upstream, Listening(provider(upstream), factory=factory) as server:
        async with open_socket(server.port, REALTIME, compression=None) as socket:
            message = bytes(64 << 20)
            await socket.send(message)
            assert await socket.recv() == message
        ended = await asyncio.to_thread(server.wait_ended)
        assert server.budget.used_bytes == 0
    assert ended.websocket is not None and ended.websocket.provider_bytes > 64 << 20


async def test_tls_and_an_outgoing_proxy(factory: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    with SocketUpstream(ssl=context) as upstream, Upstream(drop) as proxy:
        proxy.next(tunnel(upstream.port))
        keys = {"base_url": f"https://localhost:{upstream.port}/v1", "ca_file": str(CERTIFICATES / "ca.pem")}
        with Listening(provider(upstream, proxy=proxy.url, **keys), factory=factory) as server:
            async with open_socket(server.port, REALTIME) as socket:
                await socket.send("x" * 100_000)
                assert await socket.recv() == "x" * 100_000
            await asyncio.to_thread(server.wait_ended)
    assert proxy.only.method == "CONNECT"
