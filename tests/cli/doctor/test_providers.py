from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from llmproxy.cli.doctor.diagnosis import Diagnosis
from llmproxy.cli.doctor.examination import DaemonThreads
from llmproxy.cli.doctor.providers import Checked, check_provider
from llmproxy.config.load import load
from llmproxy.routes import build_routing
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.certificate_authority import CertificateAuthority
from tests.support.provider import CERTIFICATES, Reply, Upstream, silence, tunnel
from tests.support.waiting import PATIENCE_S

KEY = "sk-d0ct0r-secret"
LIST = Reply(pieces=[b"{}"])


def checked(directory: Path, settings: str, timeout_s: float = PATIENCE_S) -> Checked:
    (directory / "x.yaml").write_text(f"providers: [{{name: p, {settings}}}]\n")
    loaded = load("x.yaml", directory=directory, environ={})
    _, (provider,) = build_routing(loaded)

    async def check() -> Checked:
        asyncio.get_running_loop().set_default_executor(DaemonThreads())
        pool = Pool()
        try:
            return await check_provider(provider, loaded.key_sources["p"], pool.open, timeout_s)
        finally:
            await pool.close()
            await provider.close()

    return asyncio.run(check())


def by_check(result: Checked) -> dict[str, Diagnosis]:
    assert KEY not in str(result)
    return {each.check: each for each in result.findings}


def openai(upstream: Upstream, more: str = "") -> str:
    return f'type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}{more}'


def test_a_call_lists_models_with_the_key_and_reads_the_clock(tmp_path: Path) -> None:
    now = Reply(pieces=[b"{}"], headers=(("Date", formatdate(usegmt=True)),))
    with Upstream(now) as upstream:
        result = checked(tmp_path, openai(upstream))
        request = upstream.only
    assert (request.method, request.target) == ("GET", b"/v1/models")
    assert request.values("authorization") == [f"Bearer {KEY}"]
    found = by_check(result)
    assert found["key"].detail == "config file"
    assert found["call"].status == "ok" and "200 after" in found["call"].detail
    assert result.drift_s is not None and abs(result.drift_s) < 60


@pytest.mark.parametrize(
    ("status", "expected", "fix"),
    [
        (401, "error", "refuses the key"),
        (404, "warning", "nothing is at /v1/models"),
        (429, "warning", "limit"),
        (503, "warning", "status page"),
    ],
)
def test_the_answer_is_judged_by_its_status(tmp_path: Path, status: int, expected: str, fix: str) -> None:
    with Upstream(Reply(status=status, pieces=[b"{}"])) as upstream:
        finding = by_check(checked(tmp_path, openai(upstream)))["call"]
    assert finding.status == expected and fix in finding.fix


def test_a_refusal_without_a_key_is_expected(tmp_path: Path) -> None:
    with Upstream(Reply(status=401, pieces=[b"{}"])) as upstream:
        found = by_check(checked(tmp_path, f'type: openai, base_url: "{upstream.url}/v1"'))
    assert found["call"].status == "ok"
    assert found["key"].status == "warning" and "OPENAI_API_KEY" in found["key"].fix


def test_a_silent_provider_takes_no_longer_than_the_timeout(tmp_path: Path) -> None:
    began_s = time.monotonic()
    with Upstream(silence) as upstream:
        finding = by_check(checked(tmp_path, openai(upstream), timeout_s=0.1))["call"]
    assert finding.status == "error" and "did not answer within 0.1 s" in finding.detail
    assert time.monotonic() - began_s < PATIENCE_S


def test_nothing_at_the_address_names_the_remedy(tmp_path: Path) -> None:
    finding = by_check(checked(tmp_path, 'type: ollama, base_url: "http://127.0.0.1:9/v1"'))["call"]
    assert finding.status == "error" and finding.fix == "start it, or correct `base_url`"
    assert finding.detail == f"http://127.0.0.1:9 could not be reached: {os.strerror(errno.ECONNREFUSED).lower()}"


def test_an_outgoing_proxy_that_is_down_is_what_is_to_be_fixed(tmp_path: Path) -> None:
    settings = f'type: openai, api_key: {KEY}, proxy: "http://me:hidden@127.0.0.1:9"'
    finding = by_check(checked(tmp_path, settings))["call"]
    assert "through http://127.0.0.1:9 could not" in finding.detail and "HTTPS_PROXY" in finding.fix


def test_a_proxy_with_a_certificate_of_its_own_is_named_as_that(tmp_path: Path) -> None:
    with Upstream(LIST, tls=True) as upstream, Upstream(tunnel(upstream.port)) as proxy:
        settings = f'type: openai, api_key: {KEY}, base_url: "https://localhost/v1", proxy: "{proxy.url}"'
        finding = by_check(checked(tmp_path, settings))["call"]
    assert "not trusted by" in finding.detail and "SSL_CERT_FILE" in finding.fix


def test_tls_shows_the_issuer_and_the_trust_store(tmp_path: Path) -> None:
    with Upstream(LIST, tls=True) as upstream:
        found = by_check(checked(tmp_path, openai(upstream, f", ca_file: {CERTIFICATES / 'ca.pem'}")))
    assert "issued by" in found["tls"].detail and "ca_file" in found["tls"].detail
    assert found["call"].status == "ok"


def test_an_authority_that_nobody_trusts_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with Upstream(LIST, tls=True) as upstream:
        found = by_check(checked(tmp_path, openai(upstream)))
        assert upstream.requests == []
    assert found["tls"].status == "error" and "SSL_CERT_FILE" in found["tls"].fix
    assert "call" not in found


def test_a_certificate_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)  # its certificates are valid for a day
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("localhost"))
    with greeting(b"", context) as port:
        settings = f'type: openai, base_url: "https://localhost:{port}/v1", ca_file: {authority.ca}, api_key: k'
        found = by_check(checked(tmp_path, settings))
    assert found["tls"].status == "warning" and "renew" in found["tls"].fix


def test_an_address_without_tls_is_named(tmp_path: Path) -> None:
    with greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        finding = by_check(checked(tmp_path, f'type: openai, base_url: "https://localhost:{port}/v1"'))["tls"]
    assert finding.status == "error" and "http://" in finding.fix


def _plain(peer: socket.socket, server_side: bool) -> socket.socket:
    return peer


@contextlib.contextmanager
def greeting(words: bytes, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve connections that get `words` and end; yield the port."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                wrap = context.wrap_socket if context else _plain
                with contextlib.suppress(OSError), wrap(peer, server_side=True) as connection:
                    connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_an_unknown_name_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = checked(tmp_path, f"type: openai, api_key: {KEY}")
    assert [each.check for each in result.findings] == ["key", "dns"]
    assert by_check(result)["dns"].status == "error" and result.reached is False


def test_a_resolver_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: hanging.wait(2 * PATIENCE_S))
    result = checked(tmp_path, f"type: openai, api_key: {KEY}", timeout_s=0.1)
    hanging.set()
    assert by_check(result)["dns"].status == "error" and "within 0.1 s" in by_check(result)["dns"].detail


def test_the_call_goes_through_the_outgoing_proxy(tmp_path: Path) -> None:
    with Upstream(LIST) as proxy:
        address = proxy.url.replace("//", "//me:hidden@")
        settings = f'type: openai, base_url: "http://llm.test/v1", api_key: {KEY}, proxy: "{address}"'
        result = checked(tmp_path, settings)
        assert proxy.only.target == b"http://llm.test/v1/models"
    assert by_check(result)["proxy"].detail == f"through {proxy.url}" and "hidden" not in str(result)
    assert result.reached is True


def test_the_stub_answers_by_itself(tmp_path: Path) -> None:
    result = checked(tmp_path, "type: stub")
    assert [each.detail for each in result.findings] == ["answers by itself"] and result.reached is None
