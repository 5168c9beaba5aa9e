"""Promise 1, byte-exact relay: what the client sends reaches the provider as it came, and the answer comes back the
same."""

from __future__ import annotations

import json
import os

import pytest

from tests.acceptance.conftest import KEY
from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream, echo

NOT_JSON = b'\x00\xff{"model": \xc3\x28, not json\r\n\r\n0\r\n\r\n' + bytes(range(256))
REBUILT = {"host", "content-length", "transfer-encoding", "connection", "authorization", "accept-encoding"}


@pytest.mark.ledger("H1")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "REPORT"])
@pytest.mark.parametrize("path", ["/v1/files", "/openai/v1/files", "/openai/files", "/nobody/knows/this"])
def test_a_body_that_is_no_json_passes_both_ways_byte_for_byte(
    relay: Program, upstream: Upstream, path: str, method: str
) -> None:
    upstream.next(echo)
    with relay.client() as client:
        client.request(method, path, "Content-Type: application/x-odd", body=NOT_JSON)
        answer = client.read_answer()
    assert (answer.status, answer.body, answer.value("content-type")) == (200, NOT_JSON, "application/x-odd")
    got = upstream.only
    assert (got.method, got.body, got.framing) == (method, NOT_JSON, "length")
    assert got.target.decode() == {"/nobody/knows/this": "/v1/nobody/knows/this"}.get(path, "/v1/files")


def test_a_chat_request_keeps_every_byte_of_its_body(relay: Program, upstream: Upstream) -> None:
    body = (
        '{ "messages":[ {"role":"user" ,"content":"\\u00e9é\\/ 1E2"}],\n\t"n": 1.0, "model" : "gpt-x","z":{}}'.encode()
    )
    with relay.client() as client:
        client.request("POST", "/v1/chat/completions", "Content-Type: application/json", body=body)
        answer = client.read_answer()
    assert answer.status == 200
    assert upstream.only.body == body
    assert json.loads(answer.body)["model"] == "gpt-x"


@pytest.mark.parametrize(
    "query", ["?a=1&a=2&b=%2F+%20&c", "?", "?q=%zz&%FC=%e9", '?x={1}[2]|^`"<>', "?u=http://h/p?q&r=@:!$'()*+,;~"]
)
def test_path_and_query_travel_byte_for_byte(relay: Program, upstream: Upstream, query: str) -> None:
    upstream.next(echo)
    with relay.client() as client:
        client.request("GET", f"/v1/files/a%2Fb//c%20d/;x=1{query}")
        assert client.read_answer("GET").status == 200
    assert upstream.only.target == f"/v1/files/a%2Fb//c%20d/;x=1{query}".encode()


def test_end_to_end_headers_arrive_as_sent_and_hop_by_hop_headers_do_not(relay: Program, upstream: Upstream) -> None:
    sent = [
        ("anthropic-beta", "tools-2024,prompt-caching"),
        ("OpenAI-Organization", "org-1"),
        ("X-Two", "one"),
        ("x-two", "two"),
        ("User-Agent", "some agent/1.0"),
        ("Cookie", "a=b; c=d"),
        ("X-Empty", ""),
        ("X-Utf-8", "café"),
        ("X-Latin", "caf\udce9 \udcff"),
    ]
    hops = ["Connection: keep-alive, X-Private", "X-Private: 1", "Keep-Alive: 5", "TE: trailers", "Proxy-Connection: x"]
    with relay.client() as client:
        lines = [f"{name}: {value}" for name, value in sent]
        client.request("GET", "/v1/files/gpt-x/extra", *lines, *hops, "Proxy-Authorization: Basic c2VjcmV0")
        client.read_answer("GET")
    got = [(name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in upstream.only.headers]
    assert [pair for pair in got if pair in sent] == sent
    extra = {name.lower() for name, _ in got} - {name.lower() for name, _ in sent}
    assert extra <= REBUILT, extra
    assert upstream.only.value("host") == f"127.0.0.1:{upstream.port}"


def test_answers_keep_status_reason_repeated_headers_and_cookies(relay: Program, upstream: Upstream) -> None:
    headers = (
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "b=2"),
        ("X-Odd", "é \udce9"),
        ("X-Empty", ""),
        ("x-rate", "7"),
    )
    hops = (
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "x"),
    )
    upstream.next(Reply(status=418, reason="I'm a teapot", headers=headers + hops, pieces=[b"short"]))
    answer = relay.get("/v1/files")
    assert (answer.status, answer.reason, answer.body) == (418, "I'm a teapot", b"short")
    assert answer.values("set-cookie") == ["a=1; Path=/", "b=2"]
    assert (answer.value("x-odd"), answer.value("x-empty"), answer.value("x-rate")) == ("é \udce9", "", "7")
    assert not answer.values("x-hop") and not answer.values("keep-alive") and not answer.values("proxy-authenticate")


@pytest.mark.ledger("P4")
def test_the_clients_dummy_key_is_replaced_by_the_configured_one(relay: Program, upstream: Upstream) -> None:
    relay.post(
        "/v1/chat/completions", {"model": "m", "messages": []}, "Authorization: Bearer dummy", "x-api-key: dummy"
    )
    assert upstream.only.value("authorization") == f"Bearer {KEY}"
    assert b"dummy" not in upstream.only.head


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files", "/anywhere"])
def test_a_body_of_no_bytes_is_told_from_no_body(relay: Program, upstream: Upstream, path: str) -> None:
    upstream.next(echo, echo)
    with relay.client() as client:
        client.request("POST", path, body=b"")
        assert client.read_answer().body == b""
        client.request("GET", path)
        assert client.read_answer("GET").body == b""
    first, second = upstream.requests
    assert (first.framing, first.value("content-length"), second.framing) == ("length", "0", "none")


def test_a_multipart_upload_passes_unread(relay: Program, upstream: Upstream) -> None:
    upstream.next(echo)
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        + os.urandom(70_000)
        + b"\r\n--cut--\r\n"
    )
    with relay.client() as client:
        client.request("POST", "/v1/files", "Content-Type: multipart/form-data; boundary=cut", body=body)
        assert client.read_answer().body == body
    assert upstream.only.value("content-type") == "multipart/form-data; boundary=cut"
    assert upstream.only.body == body


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
def test_thirty_megabytes_pass_both_ways(relay: Program, upstream: Upstream, path: str) -> None:
    upstream.next(echo)
    filler = os.urandom(15 * 1024 * 1024).hex().encode()
    body = b'{"model": "gpt-x", "messages": [], "padding": "' + filler + b'"}'
    with relay.client() as client:
        client.request("POST", path, "Content-Type: application/json", body=body)
        assert client.read_answer().body == body
    assert upstream.only.body == body


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
def test_a_request_without_length_arrives_whole(relay: Program, upstream: Upstream, path: str) -> None:
    upstream.next(echo)
    body = b'{"model": "gpt-x", "messages": []}'
    with relay.client() as client:
        client.request("POST", path, "Content-Type: application/json", "Transfer-Encoding: chunked", "Trailer: X-Sum")
        client.send(b"5;name=value\r\n" + body[:5] + b"\r\n" + b"%X\r\n" % len(body[5:]) + body[5:] + b"\r\n")
        client.send(b"0\r\nX-Sum: 1\r\n\r\n")
        assert client.read_answer().body == body
        client.request("GET", "/v1/models/x/y")
        assert client.read_answer("GET").status == 404, "the connection serves the next request"
    assert upstream.requests[0].body == body
    assert not upstream.requests[0].values("x-sum")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
def test_a_client_that_expects_100_continue_gets_it_before_its_body(
    relay: Program, upstream: Upstream, path: str
) -> None:
    upstream.next(echo)
    body = b'{"model": "gpt-x"}'
    with relay.client() as client:
        client.request("POST", path, f"Content-Length: {len(body)}", "Expect: 100-continue")
        assert client.read_interim() == 100
        client.send(body)
        answer = client.read_answer()
    assert (answer.status, answer.body, answer.interim) == (200, body, [])
    assert upstream.only.body == body


def test_head_gives_the_headers_of_the_answer_and_no_body(relay: Program, upstream: Upstream) -> None:
    upstream.next(Reply(headers=(("Content-Type", "a/b"),), length=12345), Reply(pieces=[b"after"]))
    with relay.client() as client:
        client.request("HEAD", "/v1/files/f")
        answer = client.read_answer("HEAD")
        assert (answer.status, answer.value("content-type"), answer.value("content-length")) == (200, "a/b", "12345")
        client.request("GET", "/v1/files/f")
        assert client.read_answer("GET").body == b"after"


@pytest.mark.parametrize(("status", "reason"), [(204, "No Content"), (304, "Not Modified")])
def test_answers_that_have_no_body_leave_the_connection_usable(
    relay: Program, upstream: Upstream, status: int, reason: str
) -> None:
    upstream.next(
        Reply(status=status, reason=reason, headers=(("ETag", '"e"'),), framing="none"), Reply(pieces=[b"after"])
    )
    with relay.client() as client:
        client.request("DELETE", "/v1/files/f")
        answer = client.read_answer()
        assert (answer.status, answer.value("etag"), answer.values("transfer-encoding")) == (status, '"e"', [])
        client.request("GET", "/v1/files/f")
        assert client.read_answer("GET").body == b"after"


def test_http_1_0_clients_get_answers_delimited_by_the_end(relay: Program, upstream: Upstream) -> None:
    pieces = [b"data: 1\n\n", b"data: 2\n\n"]
    upstream.next(Reply(headers=vendors.SSE, pieces=pieces, framing="chunked"), Reply(pieces=[b"whole"]))
    for expected in (b"".join(pieces), b"whole"):
        with relay.client() as client:
            client.request("GET", "/v1/files/f", version="1.0")
            answer = client.read_answer("GET")
            assert answer.framing in ("eof", "length") and answer.body == expected
            assert client.ended()


def test_trailers_of_the_upstream_are_dropped_cleanly(relay: Program, upstream: Upstream) -> None:
    reply = Reply(headers=(("Trailer", "X-Sum"),), pieces=[b"a" * 70_000, b"b"], framing="chunked")
    upstream.next(Reply(headers=reply.headers, pieces=reply.pieces, framing="chunked", trailers=(("X-Sum", "9"),)))
    with relay.client() as client:
        client.request("GET", "/v1/files/f")
        answer = client.read_answer("GET")
        assert answer.body == b"a" * 70_000 + b"b"
        assert not answer.values("x-sum") and not answer.values("trailer")
        client.request("GET", "/v1/models/x/y")
        assert client.read_answer("GET").status == 404


def test_header_fields_of_32_kb_pass_both_ways(relay: Program, upstream: Upstream) -> None:
    big = "v" * 32_000
    upstream.next(Reply(headers=(("X-Big", big), ("X-Big", "w" * 32_000)), pieces=[b"ok"]))
    with relay.client() as client:
        client.request("GET", "/v1/files/f", f"X-Large: {big}")
        answer = client.read_answer("GET")
    assert answer.values("x-big") == [big, "w" * 32_000]
    assert upstream.only.value("x-large") == big


def test_an_answer_until_the_end_of_the_connection_arrives_whole(relay: Program, upstream: Upstream) -> None:
    upstream.next(Reply(pieces=[b"x" * 100_000, b"end"], framing="eof"))
    with relay.client() as client:
        client.request("GET", "/v1/files/f")
        answer = client.read_answer("GET")
    assert answer.body == b"x" * 100_000 + b"end"


def test_interim_answers_of_the_upstream_do_not_disturb(relay: Program, upstream: Upstream) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    upstream.next(Reply(before=hints, pieces=[b'{"ok": 1}']))
    answer = relay.post("/v1/chat/completions", {"model": "gpt-x"})
    assert (answer.status, answer.body) == (200, b'{"ok": 1}')


@pytest.mark.ledger("T1")
def test_a_stream_arrives_frame_by_frame_as_the_upstream_sends_it(relay: Program, upstream: Upstream) -> None:
    frames = vendors.chat_frames("gpt-x", usage=True)
    upstream.hold()
    with relay.client() as client:
        client.post("/v1/chat/completions", {"model": "gpt-x", "stream": True})
        call = upstream.take()
        call.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Kept: yes\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        got = b""
        for number, frame in enumerate(frames):
            call.send(b"%x\r\n%b\r\n" % (len(frame), frame))
            if number == 0:
                head = client.read_head()
                assert (head.status, head.value("x-kept")) == (200, "yes")
            got += client.read_body_until(frame[-20:])
        call.send(b"0\r\n\r\n")
        assert client.read_chunk() == b""
        call.done()
    assert got == b"".join(frames)


@pytest.mark.ledger("T1")
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_is_the_same_bytes_however_it_is_cut(relay: Program, upstream: Upstream, size: int) -> None:
    whole = b"\xef\xbb\xbf: hi\r\n\r\n" + b"".join(vendors.chat_frames("gpt-x")).replace(b"\n", b"\r\n") + b"data: tail"
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    upstream.next(Reply(headers=vendors.SSE, pieces=pieces, framing="chunked"))
    answer = relay.post("/v1/chat/completions", {"model": "gpt-x", "stream": True})
    assert answer.body == whole


def test_an_answer_before_the_end_of_the_upload_reaches_the_client(relay: Program, upstream: Upstream) -> None:
    upstream.hold_early()
    with relay.client() as client:
        client.request("POST", "/v1/files", "Content-Length: 50000000")
        client.send(b"x" * 100_000)
        call = upstream.take()
        call.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        call.fin()
        answer = client.read_answer()
    assert (answer.status, answer.body) == (413, b"no")


def test_requests_on_one_connection_are_answered_one_after_the_other(relay: Program, upstream: Upstream) -> None:
    upstream.next(*(Reply(pieces=[b"%d" % number]) for number in range(50)))
    with relay.client() as client:
        for number in range(50):
            client.request("GET", "/v1/files/f")
            assert client.read_answer("GET").body == b"%d" % number
    assert len({request.connection.number for request in upstream.requests}) == 1, (
        "one upstream connection serves them all"
    )
