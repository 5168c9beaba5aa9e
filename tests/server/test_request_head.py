"""What is read out of a request's head, and which heads are refused."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import _ErrInfo

from llmproxy.server.request_head import exchange_of, nameless_exchange, refusal

PEER = ("10.1.2.3", 40000)


def read(*lines: str, version: str = "HTTP/1.1") -> RawRequestMessage:
    """Return the head that `lines` are, as the edge gets it."""
    head = "\r\n".join([f"{lines[0]} {version}", "Host: x", *lines[1:], "", ""]).encode("utf-8", "surrogateescape")
    loop = asyncio.get_running_loop()
    [(message, _)], _, _ = HttpRequestParser(BaseProtocol(loop), loop, 65536).feed_data(head)
    return message


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/v1/x", "/v1/x", None),
        ("/v1/x?", "/v1/x", ""),
        ("/v1/x?a=1&a=%20+&b", "/v1/x", "a=1&a=%20+&b"),
        ("/a%2Fb//c/../d?x=/?y", "/a%2Fb//c/../d", "x=/?y"),
        ("/?", "/", ""),
        ("http://proxied.test/v1/x?q=1", "/v1/x", "q=1"),
        ("http://proxied.test:81", "/", None),
        ("http://proxied.test?q", "/", "q"),
        ("/http://not.absolute/x", "/http://not.absolute/x", None),
        ("/x?u=http://a/b", "/x", "u=http://a/b"),
    ],
)
async def test_path_and_query_are_taken_byte_for_byte(target: str, path: str, query: str | None) -> None:
    exchange = exchange_of(read(f"GET {target}"), PEER)

    assert (exchange.full_path, exchange.path, exchange.query) == (path, path, query)


async def test_an_asterisk_is_a_path_that_nobody_has() -> None:
    assert exchange_of(read("OPTIONS *"), PEER).full_path == "*"


async def test_method_headers_and_client_are_taken_as_they_came() -> None:
    message = read("PATCH /x", "User-Agent: me/1", "X-Two: 1", "x-two: 2", "X-Raw: caf\udce9")

    exchange = exchange_of(message, PEER)

    assert exchange.method == "PATCH"
    assert (exchange.client.address, exchange.client.agent, exchange.client.name) == ("10.1.2.3", "me/1", None)
    assert exchange.headers.getall("X-TWO") == ["1", "2"]
    assert exchange.headers["x-raw"] == "caf\udce9"


async def test_hooks_may_change_the_headers_of_an_exchange() -> None:
    exchange = exchange_of(read("GET /", "X-A: 1"), PEER)

    exchange.headers["X-A"] = "2"

    assert exchange.headers["X-A"] == "2"


@pytest.mark.parametrize(
    ("peer", "address"), [(PEER, "10.1.2.3"), (("::1", 1, 0, 0), "::1"), ("", "unix"), (None, "unix")]
)
async def test_the_clients_address_is_the_sockets(peer: object, address: str) -> None:
    assert exchange_of(read("GET /"), peer).client.address == address
    assert nameless_exchange(peer).client.address == address


async def test_times_begin_now() -> None:
    earlier, earlier_clock = time.monotonic(), time.time()

    exchange = exchange_of(read("GET /"), PEER)

    assert earlier <= exchange.started_s <= time.monotonic()
    assert earlier_clock <= exchange.began_s <= time.time()


@pytest.mark.parametrize("identifier", ["abc-123", "a", "!~", "x" * 128])
async def test_a_short_printable_request_id_of_the_client_is_kept(identifier: str) -> None:
    exchange = exchange_of(read("GET /", f"X-Request-ID: {identifier}"), PEER)

    assert exchange.request_id == identifier
    assert exchange.id != identifier


@pytest.mark.parametrize("identifier", ["", "x" * 129, "two words", "tab\there", "caf\udcc3\udca9"])
async def test_any_other_request_id_is_replaced_by_ours(identifier: str) -> None:
    exchange = exchange_of(read("GET /", f"X-Request-ID: {identifier}"), PEER)

    assert exchange.request_id == exchange.id


async def test_ids_of_our_own_are_short_printable_and_never_the_same() -> None:
    exchanges = [exchange_of(read("GET /"), PEER) for _ in range(500)] + [nameless_exchange(PEER) for _ in range(500)]

    assert len({exchange.id for exchange in exchanges}) == 1000
    assert all(len(exchange.id) == 24 and exchange.id.isalnum() for exchange in exchanges)
    assert all(exchange.request_id == exchange.id for exchange in exchanges)


async def test_a_request_without_a_readable_head_is_counted_under_a_name_of_its_own() -> None:
    exchange = nameless_exchange(PEER)

    assert (exchange.method, exchange.template, exchange.full_path) == ("-", "malformed", "")


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("coding", ["", "chunked", "Chunked", " chunked "])
async def test_ordinary_heads_are_served(version: str, coding: str) -> None:
    lines = ["POST /"] + ([f"Transfer-Encoding: {coding}"] if coding and version == "HTTP/1.1" else [])

    assert refusal(read(*lines, version=version)) is None


@pytest.mark.parametrize(
    "lines",
    [
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: identity, chunked",),
    ],
)
async def test_transfer_codings_that_would_be_forgotten_are_refused(lines: tuple[str, ...]) -> None:
    refused = refusal(read("POST /", *lines))

    assert refused is not None
    assert (refused.status, refused.code) == (501, "unknown_coding")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (LineTooLong("...", 65536), 431, "header_too_large"),
        (BadHttpMessage("?"), 400, "malformed_request"),
        (BadStatusLine("?"), 400, "malformed_request"),
        (ValueError("?"), 400, "malformed_request"),
    ],
)
def test_heads_that_the_parser_refused_are_answered(fault: Exception, status: int, code: str) -> None:
    refused = refusal(_ErrInfo(400, fault, "message"))

    assert refused is not None
    assert (refused.status, refused.code, refused.retryable) == (status, code, False)


async def test_a_request_line_without_a_version_is_malformed() -> None:
    loop = asyncio.get_running_loop()
    [(message, _)], _, _ = HttpRequestParser(BaseProtocol(loop), loop, 65536).feed_data(b"GET /\r\nHost: x\r\n\r\n")

    refused = refusal(message)

    assert refused is not None
    assert refused.status == 400
