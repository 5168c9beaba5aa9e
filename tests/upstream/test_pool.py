"""What is sent, what comes back as an Answer, and what becomes of the connection."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.body import Body
from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.target import Origin, Timeouts
from tests.support.pooling import OK, ask, failure, fetch, left, ok, origin_of, pool, rest, take
from tests.support.provider import Reply, Upstream, drop

BIG = b"0123456789abcdef" * 16384


async def test_a_request_goes_out_as_it_is_given_with_a_host_and_a_length_of_ours(upstream: Upstream) -> None:
    headers = [("X-One", "1"), ("x-two", "a, b"), ("X-One", "ü".encode().decode("utf-8", "surrogateescape"))]

    async with pool() as made:
        await fetch(made, ask(origin_of(upstream), "PATCH", "/a%2Fb//c?d=%20&e&f=\udce9", headers, Body(b"\0\xff")))

    assert upstream.only.head == (
        b"PATCH /a%2Fb//c?d=%20&e&f=\xe9 HTTP/1.1\r\n"
        + f"Host: 127.0.0.1:{upstream.port}\r\n".encode()
        + b"X-One: 1\r\nx-two: a, b\r\nX-One: \xc3\xbc\r\nContent-Length: 2\r\n\r\n"
    )
    assert upstream.only.body == b"\0\xff"


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("GET", None, None),
        ("DELETE", None, None),
        ("GET", Body(b""), None),
        ("POST", Body(b""), "0"),
        ("PUT", Body(b""), "0"),
        ("DELETE", Body(b"{}"), "2"),
        ("POST", Body(BIG), str(len(BIG))),
    ],
)
async def test_a_length_is_told_where_there_is_a_body_or_one_is_expected(
    upstream: Upstream, method: str, body: Body | None, length: str | None
) -> None:
    async with pool() as made:
        await fetch(made, ask(origin_of(upstream), method, body=body))

    assert upstream.only.value("content-length") == length
    assert upstream.only.value("transfer-encoding") is None
    assert upstream.only.body == (body.raw if body else b"")


async def test_a_small_answer_is_whole_at_once_and_its_connection_free(upstream: Upstream) -> None:
    async with pool() as made:
        origin = origin_of(upstream)
        answers = [await made.open(ask(origin)) for _ in range(3)]

    for answer in answers:
        assert (answer.status, answer.reason, answer.body, answer.stream, answer.length) == (200, "OK", b"ok", None, 2)
    assert len(upstream.connections) == 1


async def test_a_large_answer_streams_and_frees_its_connection_at_its_end(upstream: Upstream) -> None:
    upstream.next(Reply(pieces=[BIG]), Reply(pieces=[BIG[:1000]] * 300, framing="chunked"))
    origin = origin_of(upstream)

    async with pool() as made:
        first = await made.open(ask(origin))
        assert first.stream is not None and first.length == len(BIG)
        assert await rest(first) == BIG
        second = await made.open(ask(origin))
        assert second.stream is not None and second.length is None
        assert await rest(second) == BIG[:1000] * 300
        await fetch(made, ask(origin))

    assert len(upstream.connections) == 1


async def test_requests_at_the_same_time_have_connections_of_their_own(upstream: Upstream) -> None:
    origin = origin_of(upstream)
    upstream.hold()
    async with pool() as made:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(fetch(made, ask(origin, target="/slow")))
            held = await take(upstream)
            assert await fetch(made, ask(origin, target="/fast")) == b"ok"
            held.send(OK)
            held.done()
        assert waiting.result() == b"ok"
        assert len(upstream.connections) == 2


@pytest.mark.parametrize("end", ["cut", "close"])
async def test_an_answer_without_a_length_ends_with_its_connection(upstream: Upstream, end: str) -> None:
    upstream.next(Reply(pieces=[b"a", b"b"], framing="none", end="cut" if end == "cut" else "close"))
    origin = origin_of(upstream)

    async with pool() as made:
        answer = await made.open(ask(origin))
        assert (answer.length, await rest(answer)) == (None, b"ab")
        assert await fetch(made, ask(origin)) == b"ok"

    assert len(upstream.connections) == 2


@pytest.mark.parametrize(
    ("method", "reply", "length"),
    [
        ("HEAD", Reply(length=1234), 1234),
        ("HEAD", Reply(framing="none", headers=(("Transfer-Encoding", "chunked"),)), None),
        ("GET", Reply(status=204, reason="No Content", framing="none"), None),
        ("GET", Reply(status=304, reason="Not Modified", length=99), 99),
    ],
)
async def test_answers_without_a_body_keep_their_declared_length_and_their_connection(
    upstream: Upstream, method: str, reply: Reply, length: int | None
) -> None:
    upstream.next(reply)
    origin = origin_of(upstream)

    async with pool() as made:
        answer = await made.open(ask(origin, method))
        assert (answer.bodiless, answer.stream, answer.body, answer.length) == (True, None, b"", length)
        for other in ("GET", "HEAD", "GET"):
            assert await fetch(made, ask(origin, other)) == (b"" if other == "HEAD" else b"ok")

    assert [request.method for request in upstream.requests] == [method, "GET", "HEAD", "GET"]
    assert len(upstream.connections) == 1


async def test_headers_of_the_connection_stay_here_and_all_others_go_on(upstream: Upstream) -> None:
    kept = (("Set-Cookie", "a=1; Path=/"), ("X-Kept", "1"), ("Set-Cookie", "b=2"), ("x-last", "text/x"))
    hops = (
        ("Connection", "keep-alive, X-Named"),
        ("connection", "x-second , X-Third"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Trailer", "X-T"),
        ("Upgrade", "h2c"),
        ("X-Named", "1"),
        ("X-Second", "2"),
        ("X-Third", "3"),
    )
    upstream.next(Reply(headers=kept[:2] + hops + kept[2:], pieces=[b"ok"], framing="chunked"))

    async with pool() as made:
        answer = await made.open(ask(origin_of(upstream)))
        assert await rest(answer) == b"ok"

    assert tuple(answer.headers.items()) == kept


async def test_the_providers_request_id_goes_on_under_another_name(upstream: Upstream) -> None:
    ids = (("X-Request-Id", "theirs"), ("x-request-id", "twice"), ("x-upstream-request-id", "a proxy's before it"))
    upstream.next(Reply(headers=ids))

    async with pool() as made:
        answer = await made.open(ask(origin_of(upstream)))

    assert "x-request-id" not in answer.headers
    assert answer.headers.getall("x-upstream-request-id") == ["theirs"]


async def test_bytes_of_headers_survive_both_ways(upstream: Upstream) -> None:
    raw = b"caf\xe9 \xc3\xbc".decode("utf-8", "surrogateescape")
    upstream.next(Reply(headers=(("X-Raw", raw),)))

    async with pool() as made:
        answer = await made.open(ask(origin_of(upstream), headers=[("X-Raw", raw)]))

    assert answer.headers["X-Raw"].encode("utf-8", "surrogateescape") == b"caf\xe9 \xc3\xbc"
    assert (b"X-Raw", b"caf\xe9 \xc3\xbc") in upstream.only.headers


async def test_header_fields_of_32_kb_pass_both_ways(upstream: Upstream) -> None:
    long = [("X-Long", "l" * 32 * 1024), *((f"X-{number}", "v" * 100) for number in range(200))]
    upstream.next(Reply(headers=tuple(long), pieces=[b"ok"]))

    async with pool() as made:
        answer = await made.open(ask(origin_of(upstream), headers=long, target="/" + "p" * 32 * 1024))
        assert await rest(answer) == b"ok"

    assert [pair for pair in answer.headers.items() if pair[0].startswith("X-")] == long
    assert upstream.only.value("x-long") == "l" * 32 * 1024
    assert len(upstream.only.target) == 32 * 1024 + 1


@pytest.mark.parametrize("evil", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\0b", "a\r\n\r\nGET / HTTP/1.1"])
@pytest.mark.parametrize("place", ["value", "name", "target"])
async def test_nothing_can_break_out_of_its_line(upstream: Upstream, evil: str, place: str) -> None:
    origin = origin_of(upstream)
    headers = {"value": [("X-Set", evil)], "name": [(evil, "1")], "target": []}[place]
    refused = ask(origin, "POST", evil if place == "target" else "/", headers, Body(b"{}"))

    async with pool() as made:
        with pytest.raises(ProxyError) as caught:
            await made.open(refused)
        assert await fetch(made, ask(origin)) == b"ok"

    assert (caught.value.status, caught.value.code, caught.value.retryable) == (400, "invalid_header", False)
    assert upstream.only.method == "GET"


@pytest.mark.parametrize("target", ["/a b", "/a HTTP/1.1", " /a", "/a?b c "])
async def test_a_path_of_a_hook_cannot_end_early(upstream: Upstream, target: str) -> None:
    origin = origin_of(upstream)
    async with pool() as made:
        with pytest.raises(ProxyError) as caught:
            await made.open(ask(origin, "POST", target, [], Body(b"{}")))
        assert await fetch(made, ask(origin)) == b"ok"
    assert (caught.value.status, caught.value.code) == (400, "invalid_path")
    assert upstream.only.method == "GET"


async def test_a_refused_header_does_not_cost_a_pooled_connection_its_answer(upstream: Upstream) -> None:
    origin = origin_of(upstream)

    async with pool() as made:
        await fetch(made, ask(origin))
        with pytest.raises(ProxyError):
            await made.open(ask(origin, headers=[("X-Set", "a\nb")]))
        assert await fetch(made, ask(origin)) == b"ok"


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
async def test_interim_answers_are_passed_over(upstream: Upstream, interim: bytes) -> None:
    upstream.next(Reply(before=interim * 3, pieces=[b"ok"]))
    origin = origin_of(upstream)

    async with pool() as made:
        answer = await made.open(ask(origin))
        assert (answer.status, "Link" in answer.headers, await rest(answer)) == (200, False, b"ok")
        await fetch(made, ask(origin))

    assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"<html>not found</html>\r\n\r\n",
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
    ],
)
async def test_what_is_no_http_answer_is_a_502(upstream: Upstream, garbage: bytes) -> None:
    upstream.hold()
    origin = origin_of(upstream)

    async with pool() as made:
        async with asyncio.TaskGroup() as group:
            failing = group.create_task(failure(made, ask(origin)))
            held = await take(upstream)
            held.send(garbage)
        await left(held.request.connection)
        held.done()
        assert await fetch(made, ask(origin)) == b"ok"

    assert (failing.result().status, failing.result().code) == (502, "bad_upstream_answer")
    assert len(upstream.requests) == 2


async def test_nobody_there_is_a_502_that_names_the_place(unused_tcp_port: int) -> None:
    origin = Origin(scheme="http", host="127.0.0.1", port=unused_tcp_port, proxy=None)

    async with pool() as made:
        with pytest.raises(UpstreamError, match=f"http://127.0.0.1:{unused_tcp_port}") as caught:
            await made.open(ask(origin))

    assert (caught.value.status, caught.value.retryable, caught.value.replayable) == (502, True, False)


async def test_a_name_that_does_not_exist_is_a_502() -> None:
    origin = Origin(scheme="http", host="nobody.invalid", port=80, proxy=None, timeouts=Timeouts(connect_s=5))

    async with pool() as made:
        with pytest.raises(UpstreamError, match=r"nobody\.invalid") as caught:
            await made.open(ask(origin))

    assert caught.value.status == 502


async def test_an_origin_that_is_forgotten_keeps_no_connection(upstream: Upstream) -> None:
    origin = origin_of(upstream)

    async with pool() as made:
        await fetch(made, ask(origin))
        made.forget(origin)
        await left(upstream.connections[0])
        assert await fetch(made, ask(origin)) == b"ok"


async def test_an_answer_under_way_to_a_forgotten_origin_is_read_to_its_end_and_its_connection_closed(
    upstream: Upstream,
) -> None:
    upstream.next(Reply(pieces=[BIG]))
    origin = origin_of(upstream)

    async with pool() as made:
        answer = await made.open(ask(origin))
        made.forget(origin)
        assert await rest(answer) == BIG
        await left(upstream.connections[0])


async def test_a_closed_pool_leaves_no_connection(upstream: Upstream) -> None:
    async with pool() as made:
        await fetch(made, ask(origin_of(upstream)))
        await fetch(made, ask(origin_of(upstream)))
        assert all(connection.peer_left_s is None for connection in upstream.connections)

    for connection in upstream.connections:
        await left(connection)


async def test_a_fresh_connection_that_is_closed_without_an_answer_is_not_tried_again(upstream: Upstream) -> None:
    upstream.next(drop)

    async with pool() as made:
        with pytest.raises(UpstreamError, match="without an answer") as caught:
            await made.open(ask(origin_of(upstream)))

    assert caught.value.status == 502
    assert len(upstream.requests) == 1


async def test_a_refused_connection_is_a_reason_in_words_with_the_address_once() -> None:
    with Upstream(ok) as closed:
        origin = origin_of(closed)
    async with pool() as made:
        with pytest.raises(UpstreamError) as caught:
            await made.open(ask(origin))
    assert caught.value.message == f"{origin.url} could not be reached: connection refused"
