"""Compressed bodies pass both ways as they came, and are still read for the model and counted in the metrics."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from llmproxy.wire.compression import compress
from tests.support import vendors
from tests.support.program import Program, counted
from tests.support.provider import Reply, Upstream

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda data: compress(data, "zstd"),
}
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_answer_is_relayed_as_it_came_and_its_tokens_count(
    relay: Program, upstream: Upstream, coding: str
) -> None:
    packed = CODINGS[coding](json.dumps(vendors.chat("gpt-x")).encode())
    upstream.next(Reply(headers=(*vendors.JSON, ("Content-Encoding", coding)), pieces=[packed]))
    with counted(relay, "llmproxy_tokens_total", vendors.OUT, type="output"):
        answer = relay.post(CHAT, {"model": "gpt-x"}, f"Accept-Encoding: br, {coding}")
    assert (answer.body, answer.value("content-encoding")) == (packed, coding)
    assert coding in (upstream.only.value("accept-encoding") or "")
    assert "br" not in (upstream.only.value("accept-encoding") or "")


@pytest.mark.parametrize("asked", ["", "br", "identity", "gzip;q=0, br", "*"])
def test_the_upstream_is_asked_for_nothing_that_cannot_be_read(relay: Program, upstream: Upstream, asked: str) -> None:
    headers = (f"Accept-Encoding: {asked}",) if asked else ()
    assert relay.post(CHAT, {"model": "gpt-x"}, *headers).json["object"] == "chat.completion"
    got = upstream.only.value("accept-encoding") or ""
    assert "br" not in got and "*" not in got


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_stream_is_relayed_as_it_came_and_its_tokens_count(
    relay: Program, upstream: Upstream, coding: str
) -> None:
    packed = CODINGS[coding](b"".join(vendors.chat_frames("gpt-x", usage=True)))
    pieces = [packed[start : start + 50] for start in range(0, len(packed), 50)]
    upstream.next(Reply(headers=(*vendors.SSE, ("Content-Encoding", coding)), pieces=pieces, framing="chunked"))
    with counted(relay, "llmproxy_tokens_total", vendors.IN, type="input"):
        answer = relay.post(CHAT, {"model": "gpt-x", "stream": True}, f"Accept-Encoding: {coding}")
    assert (answer.body, answer.value("content-encoding")) == (packed, coding)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_request_is_read_for_its_model_and_relayed_unchanged(
    both: Program, upstream: Upstream, coding: str
) -> None:
    packed = CODINGS[coding](b'{"model": "gpt-x", "messages": []}')
    with both.client() as client:
        client.request("POST", CHAT, "Content-Type: application/json", f"Content-Encoding: {coding}", body=packed)
        assert client.read_answer().status == 200
    assert (upstream.only.body, upstream.only.value("content-encoding")) == (packed, coding)


def test_a_coding_that_nobody_here_knows_passes_where_no_model_is_needed(relay: Program, upstream: Upstream) -> None:
    upstream.next(Reply(headers=(("Content-Encoding", "br"),), pieces=[b"\x1bopaque"]))
    with relay.client() as client:
        client.request("POST", "/v1/files", "Content-Encoding: br", body=b"\x0bopaque")
        answer = client.read_answer()
    assert (answer.body, answer.value("content-encoding")) == (b"\x1bopaque", "br")
    assert (upstream.only.body, upstream.only.value("content-encoding")) == (b"\x0bopaque", "br")


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b'{"model": "gpt-x"}', mtime=0)[:-9]])
def test_a_request_that_cannot_be_decoded_is_the_clients_mistake(
    both: Program, upstream: Upstream, body: bytes
) -> None:
    with both.client() as client:
        client.request("POST", CHAT, "Content-Encoding: gzip", body=body)
        answer = client.read_answer()
    assert answer.status == 400 and answer.json["error"]["message"]
    assert not upstream.requests


def test_a_request_that_unpacks_to_more_than_may_be_held_is_refused(both: Program, upstream: Upstream) -> None:
    bomb = gzip.compress(b'{"model": "gpt-x", "x": "' + b" " * (80 << 20) + b'"}')
    before = both.memory_bytes()
    with both.client() as client:
        client.request("POST", CHAT, "Content-Encoding: gzip", body=bomb)
        assert client.read_answer().status == 413
    assert both.memory_bytes() - before < 150 << 20
    assert not upstream.requests


def test_a_broken_compressed_answer_still_passes(relay: Program, upstream: Upstream) -> None:
    upstream.next(Reply(headers=(*vendors.JSON, ("Content-Encoding", "gzip")), pieces=[b"\x1f\x8bbroken"]))
    answer = relay.post(CHAT, {"model": "gpt-x"}, "Accept-Encoding: gzip")
    assert (answer.status, answer.body) == (200, b"\x1f\x8bbroken")
