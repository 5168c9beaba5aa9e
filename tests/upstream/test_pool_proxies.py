"""The way out through sockets: outgoing proxies and TLS. Which proxy an origin has is `test_egress.py`."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from llmproxy.body import Body
from llmproxy.errors import UpstreamError
from llmproxy.target import Origin, Timeouts
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.pooling import ask, failure, fetch, ok, origin_of
from tests.support.provider import CERTIFICATES, Reply, Script, Upstream, drop, reset, silence, tunnel

CA = str(CERTIFICATES / "ca.pem")


@pytest.fixture
def secure() -> Iterator[Upstream]:
    """Yield a provider behind TLS."""
    with Upstream(ok, tls=True) as secure:
        yield secure


def through(
    proxy: Upstream, scheme: str, host: str, port: int, *, login: str = "", ca_file: str | None = None
) -> Origin:
    """Return an origin that is reached through `proxy`."""
    url = f"http://{login}127.0.0.1:{proxy.port}"
    return Origin(scheme=scheme, host=host, port=port, proxy=url, ca_file=ca_file, timeouts=Timeouts(connect_s=5))


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


@pytest.mark.parametrize(("port", "authority"), [(80, "api.invalid"), (8080, "api.invalid:8080")])
async def test_plain_requests_are_sent_to_a_proxy_in_absolute_form(
    upstream: Upstream, made: Pool, port: int, authority: str
) -> None:
    origin = through(upstream, "http", "api.invalid", port, login="us%40er:p%3Ass%C3%A9%E4%BD%A0@")

    for body in (None, Body(b"{}")):
        assert await fetch(made, ask(origin, "POST", "/v1/x?y=%20", [("X-A", "1")], body)) == b"ok"

    for request in upstream.requests:
        assert request.target.decode() == f"http://{authority}/v1/x?y=%20"
        assert request.value("host") == authority
        assert request.value("proxy-authorization") == basic("us@er:p:ssé你")
        assert request.value("x-a") == "1"
    assert len(upstream.connections) == 1


async def test_a_proxy_without_a_login_gets_none(upstream: Upstream, made: Pool) -> None:
    await fetch(made, ask(through(upstream, "http", "api.invalid", 80)))

    assert not upstream.only.values("proxy-authorization")


async def test_what_a_plain_proxy_answers_is_the_answer(upstream: Upstream, made: Pool) -> None:
    upstream.next(Reply(status=407, reason="Proxy Authentication Required"))

    assert (await made.open(ask(through(upstream, "http", "api.invalid", 80)))).status == 407


async def test_secure_requests_go_through_a_tunnel_that_is_kept(
    upstream: Upstream, secure: Upstream, made: Pool
) -> None:
    origin = through(upstream, "https", "localhost", 444, login="user:pass@", ca_file=CA)
    upstream.next(tunnel(secure.port))

    for _ in range(2):
        assert await fetch(made, ask(origin, target="/v1/x", headers=[("Authorization", "Bearer k")])) == b"ok"

    connect = upstream.only
    assert (connect.method, connect.target) == ("CONNECT", b"localhost:444")
    assert connect.value("proxy-authorization") == basic("user:pass")
    assert b"Bearer" not in connect.head
    assert [request.target for request in secure.requests] == [b"/v1/x"] * 2
    assert secure.last.value("host") == "localhost:444"
    assert not secure.last.values("proxy-authorization")
    assert len(secure.connections) == 1


async def test_a_kept_tunnel_that_was_closed_is_dug_again(upstream: Upstream, secure: Upstream, made: Pool) -> None:
    origin = through(upstream, "https", "localhost", 444, ca_file=CA)
    upstream.next(tunnel(secure.port), tunnel(secure.port))
    await fetch(made, ask(origin))
    secure.next(drop)

    assert await fetch(made, ask(origin)) == b"ok"

    assert len(upstream.requests) == 2


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_proxy_that_refuses_the_tunnel_is_a_502_without_its_password(
    upstream: Upstream, made: Pool, status: int
) -> None:
    upstream.next(Reply(status=status, reason="No Way", end="close"))

    error = await failure(made, ask(through(upstream, "https", "localhost", 444, login="user:hush@", ca_file=CA)))

    assert isinstance(error, UpstreamError)
    assert (error.status, str(status) in error.message, "hush" in error.message) == (502, True, False)


@pytest.mark.parametrize("ending", [drop, reset])
async def test_a_proxy_that_leaves_is_a_502(upstream: Upstream, made: Pool, ending: Script) -> None:
    upstream.next(ending)

    assert (await failure(made, ask(through(upstream, "https", "localhost", 444, ca_file=CA)))).status == 502


async def test_a_proxy_that_is_silent_is_a_504(upstream: Upstream, made: Pool) -> None:
    upstream.next(silence)
    url = f"http://127.0.0.1:{upstream.port}"
    origin = Origin(scheme="https", host="localhost", port=444, proxy=url, timeouts=Timeouts(connect_s=0.1))

    assert (await failure(made, ask(origin))).status == 504


@pytest.mark.parametrize("url", ["socks5://user:hush@127.0.0.1:9", "http://us%3Aer:hush@127.0.0.1:9"])
async def test_a_proxy_that_cannot_be_used_is_a_502_without_its_password(made: Pool, url: str) -> None:
    error = await failure(made, ask(Origin(scheme="http", host="localhost", port=1, proxy=url)))

    assert error.status == 502
    assert "localhost cannot be reached" in error.message and "hush" not in error.message


async def test_the_environment_decides_for_an_origin_that_says_auto(
    upstream: Upstream, made: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Upstream(ok) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        await fetch(made, ask(Origin(scheme="http", host="127.0.0.1", port=upstream.port)))
        await fetch(made, ask(origin_of(upstream)))
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        await fetch(made, ask(Origin(scheme="http", host="127.0.0.1", port=upstream.port)))

        assert proxy.only.target.startswith(b"http://127.0.0.1:")
    assert [request.target for request in upstream.requests] == [b"/", b"/"]


async def test_ca_file_makes_a_certificate_trusted(secure: Upstream, made: Pool) -> None:
    origin = Origin(scheme="https", host="localhost", port=secure.port, ca_file=CA, proxy=None)

    for _ in range(2):
        assert await fetch(made, ask(origin)) == b"ok"

    assert len(secure.connections) == 1


async def test_the_certificate_counts_for_addresses_too(secure: Upstream, made: Pool) -> None:
    origin = Origin(scheme="https", host="127.0.0.1", port=secure.port, ca_file=CA, proxy=None)

    assert await fetch(made, ask(origin)) == b"ok"


@pytest.mark.parametrize(("host", "ca_file"), [("localhost", None), ("127.0.0.2", CA)])
async def test_a_certificate_that_is_not_trusted_or_for_others_is_a_502(
    secure: Upstream, made: Pool, host: str, ca_file: str | None
) -> None:
    origin = Origin(scheme="https", host="localhost", port=secure.port, ca_file=ca_file, proxy=None)
    with Upstream(tunnel(secure.port)) as proxy:
        if host != "localhost":
            origin = through(proxy, "https", host, 443, ca_file=ca_file)
        error = await failure(made, ask(origin))

    assert (error.status, "certificate" in error.message.lower()) == (502, True)
    assert not secure.requests


async def test_plain_speech_where_tls_is_expected_is_a_502(upstream: Upstream, made: Pool) -> None:
    upstream.hold()
    origin = Origin(scheme="https", host="127.0.0.1", port=upstream.port, proxy=None, ca_file=CA)
    upstream.greeting = "reset"

    assert (await failure(made, ask(origin))).status == 502


async def test_tls_where_plain_speech_is_expected_is_a_502(secure: Upstream, made: Pool) -> None:
    assert (await failure(made, ask(origin_of(secure)))).status == 502


async def test_a_ca_file_that_is_not_there_is_a_502_that_says_so(secure: Upstream, made: Pool) -> None:
    origin = Origin(scheme="https", host="localhost", port=secure.port, ca_file="/nowhere/ca.pem", proxy=None)

    error = await failure(made, ask(origin))

    assert (error.status, "ca_file (/nowhere/ca.pem) cannot be used: no such file" in error.message) == (502, True)
