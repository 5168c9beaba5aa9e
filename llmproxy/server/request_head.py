"""Turn a parsed request head into an Exchange, and a head that cannot be parsed into an error."""

from __future__ import annotations

import random
import time

from aiohttp import HttpVersion10
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import _ErrInfo
from multidict import CIMultiDict

from llmproxy.client_request import PRINTABLE, Client
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange

REQUEST_ID_LENGTH = 128


def exchange_of(message: RawRequestMessage, peer: object) -> Exchange:
    """Return a new exchange for `message`; `peer` is the peer name of the socket as asyncio has it."""
    path, mark, query = message.path.partition("?")
    headers = message.headers.copy()
    if path[:1] != "/" and "://" in path:  # the absolute form, which names the host in place of the header
        authority, _, below = path.partition("://")[2].partition("/")
        path = "/" + below
        if [authority] != headers.getall("Host", ()):
            headers.add("Host", authority)
    identifier = _new_id()
    named = headers.get("x-request-id")
    return Exchange(
        id=identifier,
        request_id=named if named and len(named) <= REQUEST_ID_LENGTH and PRINTABLE.issuperset(named) else identifier,
        method=message.method,
        full_path=path,
        path=path,
        query=query if mark else None,
        headers=headers,
        client=Client(address=str(peer[0]) if isinstance(peer, tuple) else "unix", agent=headers.get("User-Agent", "")),
        started_s=time.monotonic(),
        began_s=time.time(),
    )


def nameless_exchange(peer: object) -> Exchange:
    """Return the exchange of a request whose head cannot be parsed: it is answered and counted too."""
    identifier = _new_id()
    return Exchange(
        id=identifier,
        request_id=identifier,
        method="-",
        full_path="",
        path="",
        query=None,
        headers=CIMultiDict(),
        client=Client(address=str(peer[0]) if isinstance(peer, tuple) else "unix"),
        started_s=time.monotonic(),
        began_s=time.time(),
        template="malformed",
    )


def _new_id() -> str:
    return random.getrandbits(96).to_bytes(12, "big").hex()


def head_size(message: RawRequestMessage) -> int:
    """Return the size of a head in bytes, as it was sent."""
    line = len(message.method) + len(message.path.encode("utf-8", "surrogateescape")) + len(" HTTP/1.1\r\n") + 1
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers) + len("\r\n")


def head_too_large() -> BadRequest:
    """Return the 431 for heads beyond the limit."""
    message = "The request head is larger than this proxy accepts (server.max_head_size)"
    return BadRequest(message, status=431, code="header_too_large")


def refusal(message: RawRequestMessage | _ErrInfo) -> BadRequest | None:
    """Return the error for a head that cannot be served: invalid, HTTP/0.9, or with an unknown transfer coding.

    Chunks are all that a message is taken apart from here (RFC 9112, 6.1): with any other transfer coding forgotten,
    the provider would get another message than the client sent.
    """
    if isinstance(message, _ErrInfo):
        if isinstance(message.exc, LineTooLong):
            return head_too_large()
    elif message.version >= HttpVersion10:
        if not message.chunked or ", ".join(message.headers.getall("Transfer-Encoding")).strip().lower() == "chunked":
            return None
        return BadRequest("Unknown Transfer-Encoding. Use chunked", status=501, code="unknown_coding")
    return BadRequest("The request is not valid HTTP/1.1", code="malformed_request")
