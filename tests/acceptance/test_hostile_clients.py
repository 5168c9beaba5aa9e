"""Requests by hand: pipelined, malformed, smuggled and slow ones meet a proper HTTP/1.1 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.raw_http import RawClient

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def impatient(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield a program with short time limits for clients."""
    config = f"""
server: {{header_timeout: 400ms, keepalive_timeout: 400ms, body_timeout: 400ms}}
llm: {{base_url: "{lasting_upstream.url}/v1", type: openai, api_key: k}}
"""
    with Program(tmp_path_factory.mktemp("impatient"), "serve", config=config) as program:
        yield program


def _refused(client: RawClient, *statuses: int) -> None:
    """Check that the answer refuses, properly, and that the connection ends."""
    answer = client.read_answer()
    assert answer.version == "HTTP/1.1" and answer.status in (statuses or (400,)), answer
    assert answer.value("x-request-id") and answer.value("connection") == "close"
    assert answer.json["error"]["message"]
    assert client.ended()


def test_pipelined_requests_are_answered_in_order(relay: Program, upstream: Upstream) -> None:
    upstream.next(*(Reply(pieces=[b"%d" % number]) for number in range(20)))
    with relay.client() as client:
        get = b"GET /v1/files/f HTTP/1.1\r\nHost: localhost\r\n\r\n"
        post = b'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n{"model":"gpt"}'
        client.send((get + post) * 10)
        assert [client.read_answer().body for _ in range(20)] == [b"%d" % number for number in range(20)]
    assert [request.method for request in upstream.requests] == ["GET", "POST"] * 10


@pytest.mark.parametrize(
    "line",
    [
        b"GARBAGE",
        b"GET /health",
        b"GET /he alth HTTP/1.1",
        b"GET /health HTTP/9.9",
        b"GET /health HTTQ/1.1",
        b"G\x00T /health HTTP/1.1",
        b"GET /he\x01lth HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_a_malformed_request_line_is_refused(relay: Program, upstream: Upstream, line: bytes) -> None:
    with relay.client() as client:
        client.send(line + b"\r\nHost: localhost\r\n\r\n")
        _refused(client, 400, 505)


@pytest.mark.parametrize(
    "field",
    [
        b"Bad Name: x",
        b"Name : x",
        b": x",
        b"nocolon",
        b"X: a\x00b",
        b"X: a\rb",
        b"X: one\r\n two",
        b"X\xc3\xa9: x",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5, 6",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 0x5",
        b"Content-Length: 5 5",
        b"Content-Length: ",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
def test_a_malformed_or_smuggling_head_is_refused_and_reaches_nobody(
    relay: Program, upstream: Upstream, path: str, field: bytes
) -> None:
    with relay.client() as client:
        client.send(b"POST " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n" + field + b"\r\n\r\n")
        client.send(b"0\r\n\r\nGET /v1/files/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _refused(client, 400, 501)
    assert not upstream.requests


@pytest.mark.parametrize(
    "garbage",
    [b"zz\r\n", b"5;\x00\r\n", b"-1\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"3\nabc\n0\n\n"],
)
def test_a_broken_chunk_is_the_clients_mistake(relay: Program, upstream: Upstream, garbage: bytes) -> None:
    with relay.client() as client:
        client.request("POST", CHAT, "Transfer-Encoding: chunked")
        client.send(b"2\r\n{}\r\n" + garbage)
        _refused(client)
    assert not upstream.requests


def test_a_broken_chunk_of_a_streamed_upload_cuts_it(relay: Program, upstream: Upstream) -> None:
    upstream.hold_early()
    with relay.client() as client:
        client.request("POST", "/v1/files", "Transfer-Encoding: chunked")
        client.send(b"5\r\nhello\r\n")
        call = upstream.take()
        client.send(b"zz\r\n")
        _refused(client, 400)
        call.wait_left()


def test_bytes_beyond_the_content_length_are_the_next_request(relay: Program, upstream: Upstream) -> None:
    with relay.client() as client:
        client.request("POST", "/v1/files", "Content-Length: 3")
        client.send(b"abc")
        assert client.read_answer().status == 404
        client.send(b"defg\r\n\r\n")
        _refused(client)
    assert [request.body for request in upstream.requests] == [b"abc"]


@pytest.mark.parametrize("count", [1, 600])
def test_a_head_that_is_too_large_is_refused(relay: Program, upstream: Upstream, count: int) -> None:
    with relay.client() as client:
        fields = "".join(f"X-{number}: {'v' * (70_000 // count)}\r\n" for number in range(count))
        client.send(b"GET /v1/files HTTP/1.1\r\nHost: localhost\r\n" + fields.encode() + b"\r\n")
        _refused(client, 400, 431)
    assert not upstream.requests


def test_a_request_line_that_is_too_long_is_refused(relay: Program, upstream: Upstream) -> None:
    with relay.client() as client:
        client.send(b"GET /v1/" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _refused(client, 400, 414, 431)


def test_slow_heads_are_closed(impatient: Program) -> None:
    with impatient.client() as silent, impatient.client() as slow:
        slow.send(b"GET /health HTTP/1.1\r\nHos")
        assert silent.ended()
        answer = slow.read_answer()
        assert answer.status == 408 and answer.value("x-request-id")
        assert slow.ended()


def test_a_head_that_comes_drop_by_drop_is_closed_all_the_same(impatient: Program) -> None:
    with impatient.client() as client, pytest.raises((ConnectionError, AssertionError)):
        client.send(b"GET /health HTTP/1.1\r\n")
        for number in range(200):
            client.send(b"X-%d: y\r\n" % number)
            client.pause(0.02)


def test_idle_connections_are_closed(impatient: Program) -> None:
    with impatient.client() as client:
        client.request("GET", "/health")
        assert client.read_answer("GET").status == 200
        assert client.ended()


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
def test_a_body_that_stands_still_is_given_up(impatient: Program, upstream: Upstream, path: str) -> None:
    with impatient.client() as client:
        client.request("POST", path, "Content-Length: 100")
        client.send(b'{"model"')
        assert client.read_answer().status == 408


def test_absolute_form_targets_are_served(relay: Program, upstream: Upstream) -> None:
    with relay.client() as client:
        client.request("GET", f"{relay.url}/health")
        assert client.read_answer("GET").status == 200
        client.request("GET", f"{relay.url}/v1/files/f?q=1")
        assert client.read_answer("GET").status == 404
    assert upstream.only.target == b"/v1/files/f?q=1"


@pytest.mark.parametrize("path", ["/health", "/v1/files/f"])
def test_the_host_of_an_absolute_target_is_judged(relay: Program, upstream: Upstream, path: str) -> None:
    with relay.client() as client:
        client.send(b"GET http://evil.example%b HTTP/1.1\r\nHost: evil.example\r\n\r\n" % path.encode())
        assert client.read_answer("GET").status == 403
        client.request("GET", f"http://evil.example{path}")
        assert client.read_answer("GET").status == 400
        client.request("GET", f"http://localhost@evil.example{path}")
        assert client.read_answer("GET").status == 400
    assert not upstream.requests


FOREIGN = [
    ("server.allowed_origins", "Origin: https://evil.example"),
    ("server.allowed_origins", "Origin: null"),
    ("server.allowed_origins", "Origin: http://localhost", "Origin: https://evil.example"),
    ("server.allowed_hosts", "Host: evil.example:3000", "Origin: http://evil.example:3000"),
    ("server.allowed_hosts", "Host: evil.example"),
]
REQUESTS = [
    ("POST", CHAT, "error"),
    ("POST", "/v1/messages", "type"),
    ("GET", "/v1/responses/resp_1", "error"),
    ("POST", "/openai/v1/anything", "error"),
    ("POST", "/no/such/path/at/all", "error"),
    *(("GET", page, "error") for page in ("/config", "/health", "/stats", "/metrics", "/v1/models", "/v1/models/x")),
    ("HEAD", "/", ""),
    ("DELETE", "/cache", "error"),
    ("OPTIONS", CHAT, "error"),
]


@pytest.mark.parametrize("fields", FOREIGN, ids=lambda fields: fields[1])
@pytest.mark.parametrize(("method", "path", "member"), REQUESTS, ids=lambda value: str(value))
def test_a_page_of_another_site_reaches_nothing(
    relay: Program, upstream: Upstream, method: str, path: str, member: str, fields: tuple[str, ...]
) -> None:
    key, *lines = fields
    if not any(line.startswith("Host:") for line in lines):
        lines.append(f"Host: 127.0.0.1:{relay.port}")
    head = [f"{method} {path} HTTP/1.1", *lines, "Content-Type: text/plain", "Content-Length: 1000000", "", ""]
    with relay.client() as client:
        client.send("\r\n".join(head).encode())  # the answer comes before the body
        answer = client.read_answer(method)
    assert answer.status == 403
    if member:
        assert key in answer.json["error"]["message"] and member in answer.json
    assert not upstream.requests


@pytest.mark.parametrize("origin", ["http://localhost:5173", "app://obsidian.md", "vscode-webview://1abc"])
def test_a_page_of_this_machine_is_served(relay: Program, upstream: Upstream, origin: str) -> None:
    for target, status in (("/health", 200), ("/v1/files/f", 404)):
        with relay.client() as client:
            client.request("GET", target, f"Origin: {origin}")
            assert client.read_answer("GET").status == status
    assert upstream.only.value("origin") == origin


def test_a_foreign_page_opens_no_websocket(relay: Program, upstream: Upstream) -> None:
    fields = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    with relay.client() as client:
        client.request("GET", "/v1/responses", *fields, "Origin: https://evil.example")
        assert client.read_answer("GET").status == 403
    assert not upstream.requests


def test_more_hosts_and_origins_can_be_allowed(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
server: {{allowed_hosts: [llm.example.com], allowed_origins: ["https://app.example.com"]}}
llm: {{base_url: "{upstream.url}/v1", type: openai, api_key: k}}
"""
    asked = [
        ("llm.example.com", "https://app.example.com", 200),
        ("LLM.example.com.:3000", "http://localhost:1", 200),
        ("llm.example.com", "https://llm.example.com", 200),
        ("llm.example.com", "https://evil.example", 403),
        ("evil.example", "https://app.example.com", 403),
    ]
    with Program(tmp_path, "serve", config=config) as program, program.client() as client:
        for host, origin, status in asked:
            client.send(f"GET /health HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\r\n".encode())
            assert client.read_answer("GET").status == status, (host, origin)


@pytest.mark.parametrize("base", ["/openai", "", "/v1/models", "/v1/responses", "/v1/files/f", "/sessions"])
@pytest.mark.parametrize(
    "climb", ["/../x", "/%2e%2e/x", "/%2E./x", "/..%2fx", "/..;/x", "/..\\x", "/a%5c..%5cx", "/%252e%252e/x", "/.."]
)
def test_no_path_leaves_the_base_of_a_provider(relay: Program, upstream: Upstream, base: str, climb: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        with relay.client() as client:
            client.request(method, base + climb, body=None if method == "GET" else b'{"model": "gpt-x"}')
            assert client.read_answer(method).status == 400
    assert not upstream.requests


def test_connection_close_is_obeyed(relay: Program, upstream: Upstream) -> None:
    with relay.client() as client:
        client.request("GET", "/v1/files/f", "Connection: close")
        assert client.read_answer("GET").value("connection") == "close"
        assert client.ended()


def test_an_empty_line_before_a_request_is_forgiven(relay: Program) -> None:
    with relay.client() as client:
        client.send(b"\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read_answer("GET").status == 200


@pytest.mark.parametrize("method", ["PROPFIND", "SEARCH", "QUERY", "M-SEARCH"])
def test_relays_pass_unusual_methods(relay: Program, upstream: Upstream, method: str) -> None:
    with relay.client() as client:
        client.request(method, "/openai/v1/x", body=b"<q/>")
        assert client.read_answer().status == 404
    assert (upstream.only.method, upstream.only.body) == (method, b"<q/>")


def test_methods_are_told_apart_by_case(relay: Program, upstream: Upstream) -> None:
    with relay.client() as client:
        client.request("post", CHAT, body=b'{"model": "gpt-x"}')
        assert client.read_answer().status >= 400


def test_a_connect_is_refused(relay: Program, upstream: Upstream) -> None:
    with relay.client() as client:
        client.send(b"CONNECT internal.example:443 HTTP/1.1\r\nHost: internal.example:443\r\n\r\n")
        assert 400 <= client.read_answer().status < 502
    assert not upstream.requests


def test_an_upgrade_to_a_websocket_is_refused_at_once(relay: Program, upstream: Upstream) -> None:
    with relay.client() as client:
        fields = (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        client.request("GET", "/v1/responses", *fields)
        assert client.read_answer("GET").status == 426
    assert not upstream.requests


def test_other_upgrades_are_ignored(relay: Program, upstream: Upstream) -> None:
    with relay.client() as client:
        client.request("GET", "/health", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
        assert client.read_answer("GET").status == 200


def test_deeply_nested_and_odd_json_harms_nobody(relay: Program, upstream: Upstream) -> None:
    bodies = [
        b"[" * 200_000,
        b'{"model": ' + b"[" * 100_000,
        b"\xff\xfe{",
        b'{"model": NaN}',
        b'{"model": "\\ud800"}',
        b"null",
        b"",
    ]
    for body in bodies:
        with relay.client() as client:
            client.request("POST", CHAT, "Content-Type: application/json", body=body)
            assert client.read_answer().status in (200, 400), body[:20]
    assert relay.get("/health").status == 200
