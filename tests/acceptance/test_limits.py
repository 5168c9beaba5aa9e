"""What one client may send, and what all of them together may make the proxy hold."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.waiting import until

CHAT, MESSAGES, FILES = "/v1/chat/completions", "/v1/messages", "/v1/files"
KB = 1024


@pytest.fixture(scope="module")
def narrow(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield a program that accepts 300 KB to read, 600 KB to pass on, and holds 500 KB."""
    config = f"""
server: {{max_body_size: 300KB, max_upload_size: 600KB, max_held_bytes: 500KB}}
providers:
  - {{name: main, type: openai, base_url: "{lasting_upstream.url}/v1", api_key: k}}
  - {{name: claude, type: anthropic, base_url: "{lasting_upstream.url}", api_key: k}}
"""
    with Program(tmp_path_factory.mktemp("narrow"), "serve", config=config) as program:
        yield program


def _body(size: int, model: str = "gpt-x") -> bytes:
    begin = b'{"model": "' + model.encode() + b'", "x": "'
    return begin + b"x" * (size - len(begin) - 2) + b'"}'


@pytest.mark.parametrize(("path", "size"), [(CHAT, 300 * KB), (FILES, 600 * KB)])
def test_a_body_of_exactly_the_limit_passes(narrow: Program, upstream: Upstream, path: str, size: int) -> None:
    upstream.next(Reply(), Reply())
    with narrow.client() as client:
        client.request("POST", path, body=_body(size))
        assert client.read_answer().status == 200
        client.request("POST", path, "Transfer-Encoding: chunked")
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (size, _body(size)))
        assert client.read_answer().status == 200
    assert [len(request.body) for request in upstream.requests] == [size, size]


@pytest.mark.parametrize(("path", "size"), [(CHAT, 300 * KB + 1), (FILES, 600 * KB + 1), (CHAT, 3000 * KB)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_larger_body_is_a_413_that_the_client_can_read(
    narrow: Program, upstream: Upstream, path: str, size: int, chunked: bool
) -> None:
    with narrow.client() as client:
        if chunked:
            client.request("POST", path, "Transfer-Encoding: chunked")
            client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (size, _body(size)))
        else:
            client.request("POST", path, body=_body(size))
        answer = client.read_answer()
        assert answer.status == 413 and answer.json["error"]["message"] and answer.value("x-request-id")
        if answer.value("connection") == "close":
            assert client.ended()
        else:
            client.request("GET", "/health")
            assert client.read_answer("GET").status == 200
    if path == CHAT:
        assert not upstream.requests


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(narrow: Program, upstream: Upstream) -> None:
    with narrow.client() as client:
        client.request("POST", CHAT, f"Content-Length: {10**12}", "Expect: 100-continue")
        answer = client.read_answer()
    assert (answer.status, answer.interim) == (413, [])
    assert not upstream.requests


def test_the_sdks_tell_413_apart(narrow: Program) -> None:
    with openai.OpenAI(base_url=f"{narrow.url}/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="gpt-x", messages=[{"role": "user", "content": "x" * 400_000}])
        assert caught.value.status_code == 413
    with (
        anthropic.Anthropic(base_url=narrow.url, api_key="k", max_retries=0) as claude,
        pytest.raises(anthropic.RequestTooLargeError),
    ):
        claude.messages.create(model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "x" * 400_000}])


@pytest.mark.parametrize(("path", "model"), [(CHAT, "gpt-x"), (MESSAGES, "claude-x")])
def test_beyond_what_may_be_held_there_is_a_503_with_retry_after(
    narrow: Program, upstream: Upstream, path: str, model: str
) -> None:
    upstream.hold()
    with narrow.client() as first, narrow.client() as second:
        first.request("POST", path, body=_body(270 * KB, model))
        call = upstream.take()
        second.request("POST", path, body=_body(270 * KB, model))
        refused = second.read_answer()
        assert refused.status == 503 and refused.json["error"]["message"]
        assert int(refused.value("retry-after") or 0) >= 1
        assert narrow.metric("llmproxy_held_bytes") >= 270 * KB
        call.give(Reply(pieces=[b"{}"]))
        call.done()
        assert first.read_answer().status == 200
    until(lambda: narrow.metric("llmproxy_held_bytes") == 0, "everything to be given back")
    with narrow.client() as third:
        third.request("POST", path, body=_body(270 * KB, model))
        assert third.read_answer().status == 200


def test_what_passes_through_is_not_held(narrow: Program, upstream: Upstream) -> None:
    big = b"x" * (2000 * KB)
    upstream.next(Reply(pieces=[big]))
    with narrow.client() as client:
        client.request("POST", FILES, body=b"y" * 590 * KB)
        assert client.read_answer().body == big
