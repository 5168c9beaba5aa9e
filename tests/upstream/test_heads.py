"""Heads of requests and answers, without a socket."""

from __future__ import annotations

import pytest
from aiohttp import HttpVersion11
from aiohttp.http_parser import RawResponseMessage
from multidict import CIMultiDict, CIMultiDictProxy

from llmproxy.body import Body
from llmproxy.errors import ProxyError
from llmproxy.target import Origin, UpstreamRequest
from llmproxy.upstream.heads import read_head, request_head


def request(target: str = "/v1/x", *headers: tuple[str, str]) -> UpstreamRequest:
    return UpstreamRequest(
        origin=Origin(scheme="http", host="up", port=80),
        method="POST",
        target=target,
        headers=CIMultiDict(headers),
        body=Body(b"{}"),
    )


def answer_headers(*headers: tuple[str, str]) -> CIMultiDict[str]:
    received = CIMultiDictProxy(CIMultiDict(headers))
    message = RawResponseMessage(HttpVersion11, 200, "OK", received, (), False, None, False, False)
    return read_head(request(), message).headers


def test_a_request_is_written_line_by_line() -> None:
    written = request_head(request("/v1/x", ("X-A", "1"), ("x-a", "caf\u00e9")))
    lines = [b"POST /v1/x HTTP/1.1", b"Host: up", b"X-A: 1", b"x-a: caf\xc3\xa9", b"Content-Length: 2", b"", b""]
    assert written.split(b"\r\n") == lines


@pytest.mark.parametrize("mark", ["\r", "\n", "\0"])
@pytest.mark.parametrize("place", ["name", "value", "target"])
def test_nothing_breaks_out_of_its_line(place: str, mark: str) -> None:
    header = (f"X{mark}A" if place == "name" else "X-A", f"1{mark}" if place == "value" else "1")
    with pytest.raises(ProxyError, match="line break"):
        request_head(request(f"/v1{mark}" if place == "target" else "/v1", header))


def test_headers_of_the_connection_end_here() -> None:
    received = [("Connection", "close, X-Mine"), ("x-mine", "1"), ("Transfer-Encoding", "chunked"), ("X-Other", "2")]
    assert dict(answer_headers(*received, ("keep-alive", "5"), ("Content-Length", "7"))) == {"X-Other": "2"}


def test_the_id_of_a_provider_gets_another_name() -> None:
    assert dict(answer_headers(("X-Request-Id", "up-1"))) == {"x-upstream-request-id": "up-1"}
