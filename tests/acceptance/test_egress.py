"""The way out: outgoing proxies from the environment, and whom to trust behind TLS."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import CERTIFICATES, Reply, Upstream, tunnel

CHAT = "/v1/chat/completions"
ASK = {"model": "gpt-x", "messages": []}
CA = str(CERTIFICATES / "ca.pem")


@pytest.fixture(scope="module")
def lasting_secure() -> Iterator[Upstream]:
    with Upstream(vendors.answer, tls=True) as secure:
        yield secure


@pytest.fixture
def secure(lasting_secure: Upstream) -> Upstream:
    """Return a provider behind TLS, its certificate from an authority that nobody knows."""
    lasting_secure.forget()
    return lasting_secure


def _serve(directory: Path, base: str, more: str = "", **environment: str) -> Program:
    config = f'providers: [{{name: main, type: openai, base_url: "{base}/v1", api_key: k{more}}}]\n'
    return Program(directory, "serve", config=config, extra=environment)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_plain_http_goes_through_the_proxy_in_absolute_form(tmp_path: Path, upstream: Upstream, variable: str) -> None:
    proxy = upstream.url.replace("://", "://user:p%40ss@")
    with _serve(tmp_path, "http://api.example.invalid", **{variable: proxy}) as program:
        assert program.post(f"{CHAT}?q=1", ASK).json["choices"][0]["message"]["content"] == vendors.TEXT
        streamed = program.post(CHAT, ASK | {"stream": True})
        assert streamed.body == b"".join(vendors.chat_frames("gpt-x"))
        assert "p@ss" not in program.out and "p%40ss" not in program.out
    first, second = upstream.requests
    assert first.target == b"http://api.example.invalid/v1/chat/completions?q=1"
    assert first.value("host") == "api.example.invalid"
    login = base64.b64encode(b"user:p@ss").decode()
    assert [request.value("proxy-authorization") for request in (first, second)] == [f"Basic {login}"] * 2
    assert first.connection is second.connection


def test_https_goes_through_a_tunnel(tmp_path: Path, upstream: Upstream, secure: Upstream) -> None:
    upstream.next(tunnel(secure.port))
    proxy = upstream.url.replace("://", "://user:pass@")
    with _serve(tmp_path, "https://localhost:444", f", ca_file: '{CA}'", HTTPS_PROXY=proxy) as program:
        for stream in (False, True):
            assert program.post(CHAT, ASK | {"stream": stream}).status == 200
    assert (upstream.only.method, upstream.only.target) == ("CONNECT", b"localhost:444")
    assert upstream.only.value("proxy-authorization") == "Basic " + base64.b64encode(b"user:pass").decode()
    assert [request.target for request in secure.requests] == [CHAT.encode()] * 2
    assert not secure.last.values("proxy-authorization")
    assert b"Bearer" not in upstream.only.head


@pytest.mark.parametrize(("status", "reason"), [(403, "Forbidden"), (407, "Proxy Authentication Required")])
def test_a_proxy_that_refuses_is_a_502_without_its_password(
    tmp_path: Path, upstream: Upstream, status: int, reason: str
) -> None:
    upstream.next(Reply(status=status, reason=reason, end="close"))
    proxy = upstream.url.replace("://", "://user:hush-hush@")
    with _serve(tmp_path, "https://localhost:444", HTTPS_PROXY=proxy) as program:
        answer = program.post(CHAT, ASK)
        assert answer.status == 502 and str(status) in answer.json["error"]["message"]
        assert b"hush" not in answer.body and "hush" not in program.out + program.err


@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "127.0.0.0/8", "example.com, 127.0.0.1"])
def test_no_proxy_names_exceptions(tmp_path: Path, upstream: Upstream, exception: str) -> None:
    with (
        Upstream(vendors.answer) as proxy,
        _serve(tmp_path, upstream.url, HTTP_PROXY=proxy.url, NO_PROXY=exception) as program,
    ):
        assert program.post(CHAT, ASK).status == 200
        assert not proxy.requests
    assert upstream.only.target == CHAT.encode()


def test_a_provider_can_have_its_own_proxy_or_none(tmp_path: Path, upstream: Upstream) -> None:
    with Upstream(vendors.answer) as proxy:
        config = f"""
providers:
  - {{name: direct, type: openai, base_url: "{upstream.url}/v1", api_key: k, proxy: none, models: [a]}}
  - {{name: own, type: openai, base_url: "http://b.invalid/v1", api_key: k, proxy: "{proxy.url}", models: [b]}}
"""
        with Program(tmp_path, "serve", config=config, extra={"HTTP_PROXY": "http://127.0.0.1:9"}) as program:
            assert program.post(CHAT, ASK | {"model": "a"}).status == 200
            assert program.post(CHAT, ASK | {"model": "b"}).status == 200
        assert proxy.only.target == b"http://b.invalid/v1/chat/completions"
    assert upstream.only.target == CHAT.encode()


def test_a_certificate_of_nobody_known_is_a_502_that_says_so(tmp_path: Path, secure: Upstream) -> None:
    with _serve(tmp_path, secure.url) as program:
        answer = program.post(CHAT, ASK)
    assert answer.status == 502 and "certificate" in answer.json["error"]["message"].lower()
    assert not secure.requests


def test_ca_file_makes_it_trusted(tmp_path: Path, secure: Upstream) -> None:
    with _serve(tmp_path, secure.url, f", ca_file: '{CA}'") as program:
        assert program.post(CHAT, ASK).status == 200
        assert program.post(CHAT, ASK | {"stream": True}).body == b"".join(vendors.chat_frames("gpt-x"))
    assert secure.last.value("authorization") == "Bearer k"


def test_ssl_cert_file_makes_it_trusted(tmp_path: Path, secure: Upstream) -> None:
    with _serve(tmp_path, secure.url, SSL_CERT_FILE=CA) as program:
        assert program.post(CHAT, ASK).status == 200


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, upstream: Upstream, secure: Upstream) -> None:
    upstream.next(tunnel(secure.port))
    with _serve(tmp_path, "https://api.example.invalid", f", ca_file: '{CA}'", HTTPS_PROXY=upstream.url) as program:
        assert program.post(CHAT, ASK).status == 502
    assert not secure.requests
