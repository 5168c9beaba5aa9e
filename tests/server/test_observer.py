"""What is learned from answers while they pass."""

from __future__ import annotations

import json

import pytest

from llmproxy.answer import Answer, Headers, framing_of
from llmproxy.client_request import Client
from llmproxy.dialects.catalog import find
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.server import observer
from llmproxy.server.observer import observe
from llmproxy.wire.compression import compress
from tests.support import vendors

COUNTED = Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, reasoning=vendors.REASONING)
CHAT = json.dumps(vendors.chat("m")).encode()


def learned(
    body: bytes, path: str = "/v1/chat/completions", size: int = 100, status: int = 200, **headers: str
) -> Exchange:
    """Return the exchange after an answer of `body` has passed in pieces of `size` bytes."""
    exchange = Exchange(
        id="1",
        method="POST",
        full_path=path,
        path=path,
        query="",
        headers=Headers(),
        client=Client(address="::1"),
        started_s=0.0,
        began_s=0.0,
        endpoint=find("POST", path),
    )
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    answer = Answer(status=status, headers=Headers(named), framing=framing_of(Headers(named), exchange.endpoint))
    watching = observe(exchange, answer)
    for start in range(0, len(body), size):
        watching.feed(body[start : start + size])
    watching.close()
    return exchange


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_plain_reply_is_read_when_it_is_whole(kind: str) -> None:
    summary = learned(CHAT, content_type=kind).summary
    assert (summary.usage, summary.finish_reason, summary.complete) == (COUNTED, "stop", True)


def test_a_stream_is_watched_and_tells_when_content_began() -> None:
    body = b"".join(vendors.chat_frames("m", usage=True))
    exchange = learned(body, content_type="text/event-stream")
    assert exchange.summary.usage == COUNTED and exchange.first_token_s is not None
    assert learned(vendors.chat_frames("m")[0], content_type="text/event-stream").first_token_s is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "gzip, zstd", "identity"])
def test_compressed_answers_are_read_decoded(encoding: str) -> None:
    assert learned(compress(CHAT, encoding), content_encoding=encoding).summary.usage == COUNTED
    stream = compress(b"".join(vendors.chat_frames("m", usage=True)), encoding)
    assert learned(stream, content_type="text/event-stream", content_encoding=encoding).summary.usage == COUNTED


@pytest.mark.parametrize(("body", "encoding"), [(CHAT, "br"), (CHAT, "gzip"), (b"\x1f\x8b" + CHAT, "gzip")])
def test_what_cannot_be_decoded_says_nothing(body: bytes, encoding: str) -> None:
    assert learned(body, content_encoding=encoding).summary == Summary()


@pytest.mark.parametrize("kind", ["audio/mpeg", "text/html"])
def test_what_is_no_json_is_not_read(kind: str) -> None:
    assert learned(CHAT, content_type=kind).summary == Summary()


def test_calls_that_are_not_known_are_not_read() -> None:
    assert learned(CHAT, path="/v1/unheard_of").summary == Summary()


def test_a_plain_reply_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "COPY_BYTES", len(CHAT))
    monkeypatch.setattr(observer, "UNCOUNTED_BYTES", 0)
    assert learned(CHAT).summary.complete
    assert learned(CHAT + b" ").summary == Summary()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_reply_is_kept_up_to_the_same_bound_of_its_decoded_size(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(observer, "COPY_BYTES", len(CHAT))
    monkeypatch.setattr(observer, "UNCOUNTED_BYTES", 0)
    assert learned(compress(CHAT, encoding), content_encoding=encoding).summary.complete
    assert learned(compress(CHAT + b" ", encoding), content_encoding=encoding).summary == Summary()
    bomb = compress(CHAT + b" " * 10_000_000, encoding)
    assert learned(bomb, content_encoding=encoding, size=len(bomb)).summary == Summary()


def test_a_compressed_stream_is_watched_while_it_comes() -> None:
    packed = compress(b"".join(vendors.chat_frames("m", usage=True)), "gzip")

    exchange = learned(packed[: len(packed) - 40], content_type="text/event-stream", content_encoding="gzip")

    assert exchange.first_token_s is not None


@pytest.mark.parametrize("what", ["bodiless", "error"])
def test_what_is_no_answer_of_a_provider_is_not_read(what: str) -> None:
    exchange = learned(b"")
    answer = Answer(
        status=200,
        headers=Headers(),
        bodiless=what == "bodiless",
        error=ProxyError("ours") if what == "error" else None,
    )

    watching = observe(exchange, answer)
    watching.feed(CHAT)
    watching.close()

    assert exchange.summary == Summary()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_wherever_the_bytes_are_cut_the_same_is_learned(size: int) -> None:
    stream = b"".join(vendors.message_frames("m"))
    exchange = learned(stream, path="/v1/messages", size=size, content_type="text/event-stream; charset=utf-8")
    assert exchange.summary.complete and exchange.summary.finish_reason == "end_turn"
    assert exchange.summary.usage is not None and exchange.summary.usage.output == vendors.OUT


PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/files", "/unknown"])
@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (PAGE, "text/html", "502 Bad Gateway"),
        (PAGE, "application/json", "502 Bad Gateway"),
        (b"upstream connect error", "text/plain", "upstream connect error"),
        (b'{"detail":"Not Found"}', "application/json", "Not Found"),
        (b'{"error":{"message":"No"}}', "application/problem+json", "No"),
        (b"", "text/html", None),
        (bytes(range(128, 256)), "application/octet-stream", None),
    ],
)
def test_an_error_of_any_form_says_why(path: str, body: bytes, kind: str, error: str | None) -> None:
    assert learned(body, path, status=502, content_type=kind).summary.error == error


def test_a_compressed_error_is_read_decoded() -> None:
    exchange = learned(compress(PAGE, "gzip"), status=502, content_type="text/html", content_encoding="gzip")
    assert exchange.summary.error == "502 Bad Gateway"
