"""Write what goes out to the client: response heads as bytes, the transfer of bodies, our own errors as Answers."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Literal

from aiohttp.helpers import rfc822_formatted_time

from llmproxy.answer import Answer, Headers
from llmproxy.dialects import catalog
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.server.secure_headers import SECURE_HEADERS
from llmproxy.server.server_timing import server_timing
from llmproxy.wire.http import write_head

# The headers that `response_head` writes itself; with those of a hook there would be two.
OURS = ("Connection", "Content-Length", "Transfer-Encoding", "x-request-id")
_FIELD = ": ".join
REASONS = {status.value: status.phrase for status in HTTPStatus}


# Not an Enum, here and elsewhere on the way of a request: to name a member of one takes 0.3 µs in Python 3.11.
TransferMode = Literal["length", "chunked", "close"]
"""How a client knows where a body ends: by its length, by the last chunk, or because the connection closes."""


def error_answer(exchange: Exchange, error: ProxyError) -> Answer:
    """Return an error of ours as the client's dialect writes errors."""
    dialect = catalog.default() if exchange.endpoint is None else exchange.endpoint.dialect
    headers = Headers((*SECURE_HEADERS, *error.headers, *dialect.error_headers(error)))
    headers["Content-Type"] = "application/json"
    body = dialect.write_error(error, exchange.request_id)
    return Answer(status=dialect.status_of(error), headers=headers, body=body, error=error)


def error_event(exchange: Exchange, error: ProxyError) -> bytes:
    """Return the frames that report to the client of a started stream that it failed."""
    dialect = catalog.default() if exchange.endpoint is None else exchange.endpoint.dialect
    framing = None if exchange.answer is None else exchange.answer.framing
    if framing is not None and framing.last_frame is not None:
        return framing.last_frame(dialect.write_error(error, exchange.request_id))
    return dialect.write_error_event(error, exchange.request_id)


def chunk(data: bytes, transfer: TransferMode) -> bytes:
    """Return `data`, which is not empty, as it goes over the wire."""
    return b"%x\r\n%b\r\n" % (len(data), data) if transfer == "chunked" else data


def last_chunk(transfer: TransferMode) -> bytes:
    """Return what goes over the wire after a body."""
    return b"0\r\n\r\n" if transfer == "chunked" else b""


def response_head(exchange: Exchange, answer: Answer, *, http10: bool, keep_alive: bool) -> tuple[bytes, TransferMode]:
    """Return status line and headers as bytes, and how the body is sent.

    HTTP/1.0 has no chunks: there the close ends the body. Raises ProxyError when a header would break out of its line.
    """
    for name in OURS:
        if name in answer.headers:
            answer.headers.popall(name)
    lines = [f"HTTP/1.1 {answer.status} {answer.reason or REASONS.get(answer.status, '')}"]
    lines += map(_FIELD, answer.headers.items())
    if "Date" not in answer.headers:
        lines.append(f"Date: {rfc822_formatted_time()}")
    lines.append(f"x-request-id: {exchange.request_id}")
    lines.append(f"server-timing: {server_timing(exchange, time.monotonic())}")
    line, transfer = _transfer(answer, http10)
    if line:
        lines.append(line)
    if transfer == "close" or not keep_alive:
        lines.append("Connection: close, Upgrade" if "Upgrade" in answer.headers else "Connection: close")
    elif http10:
        lines.append("Connection: keep-alive")
    return _as_bytes(lines), transfer


def upgrade_head(exchange: Exchange, answer: Answer) -> bytes:
    """Return the head of a 101 as bytes."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items() if name not in OURS]
    lines.append(f"x-request-id: {exchange.request_id}")
    lines.append(f"server-timing: {server_timing(exchange, time.monotonic())}")
    return _as_bytes(lines)


def _as_bytes(lines: list[str]) -> bytes:
    head = write_head(lines)
    if head is None:
        raise ProxyError("A header of the answer contains a line break", code="invalid_header")
    return head


def _transfer(answer: Answer, http10: bool) -> tuple[str, TransferMode]:
    """Return the header that says where the body ends, "" for none, and the mode."""
    length = answer.length if answer.stream is not None or answer.bodiless else len(answer.body)
    if length is not None:
        return f"Content-Length: {length}" if answer.status != 204 else "", "length"  # RFC 9110, 8.6
    if answer.bodiless:
        return "", "length"
    return ("", "close") if http10 else ("Transfer-Encoding: chunked", "chunked")
