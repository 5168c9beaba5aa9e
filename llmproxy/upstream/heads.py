"""Heads on the side of a provider: requests as bytes, and the parsed heads of answers as Answers.

Both run for every call. Pure functions; `pool.py` sends and receives. Begin reading at `request_head`.
"""

from __future__ import annotations

from aiohttp.http_parser import RawResponseMessage

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.errors import ProxyError
from llmproxy.target import UpstreamRequest
from llmproxy.wire.http import BODILESS_STATUSES, HOP_BY_HOP, ORDINARY_CONNECTION, ForwardedNames, write_head

UPGRADE_LINES = ("Connection: Upgrade", "Upgrade: websocket")
_FIELD = ": ".join
_END_TO_END = ForwardedNames((*HOP_BY_HOP, "content-length"))


def request_head(request: UpstreamRequest, target_prefix: str = "", proxy_authorization: str | None = None) -> bytes:
    """Return request line and headers as bytes. Raises ProxyError when a header or path that a hook set would
    end its line or itself.

    An outgoing proxy for plain HTTP gets the URL of the origin, `target_prefix`, before the path, and its login.
    """
    lines = [f"{request.method} {target_prefix}{request.target} HTTP/1.1", f"Host: {request.origin.authority}"]
    lines += map(_FIELD, request.headers.items())
    if proxy_authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy_authorization}")
    if request.upgrade:
        lines += UPGRADE_LINES
    body = request.body
    if isinstance(body, Body):
        if body.raw or request.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body.raw)}")
    elif body is not None:
        lines.append("Transfer-Encoding: chunked" if body.length is None else f"Content-Length: {body.length}")
    head = write_head(lines)
    if head is None:
        raise ProxyError("A header or path of the request contains a line break", status=400, code="invalid_header")
    if lines[0].count(" ") != 2:
        raise ProxyError("The path of the request contains a space: write %20", status=400, code="invalid_path")
    return head


def read_head(request: UpstreamRequest, message: RawResponseMessage) -> Answer:
    """Return the head as an Answer: end-to-end headers and the declared length."""
    received = message.headers
    headers = Headers([pair for pair in received.items() if _END_TO_END[pair[0]]])
    length = received.get("Content-Length")
    for line in received.getall("Connection", ()):
        if line.lower() not in ORDINARY_CONNECTION:
            for name in line.split(","):
                headers.popall(name.strip(), None)
    if "x-request-id" in headers:
        headers["x-upstream-request-id"] = headers.popall("x-request-id")[0]
    return Answer(
        status=message.code,
        reason=message.reason,
        headers=headers,
        length=int(length) if length is not None and not message.chunked else None,
        bodiless=request.method == "HEAD" or message.code in BODILESS_STATUSES,
    )
