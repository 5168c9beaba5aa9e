"""aiohttp's own TLS context reads the certificates of the system when it is used, and verifies as it always did."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import pytest

from llmproxy.cli.deferred_certificates import DeferredCertificates
from tests.support.provider import CERTIFICATES, Reply, Upstream


@pytest.mark.parametrize("trusted", [True, False])
async def test_certificates_are_read_at_the_first_connection(monkeypatch: pytest.MonkeyPatch, trusted: bool) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / ("ca.pem" if trusted else "none.pem")))
    monkeypatch.setenv("SSL_CERT_DIR", str(CERTIFICATES / "none"))
    context = DeferredCertificates(ssl.PROTOCOL_TLS_CLIENT)
    assert context.get_ca_certs() == []
    with Upstream(Reply(pieces=(b"{}",)), tls=True) as upstream:
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                try:
                    async with session.get(upstream.url, ssl=context, headers={"Connection": "close"}) as answer:
                        assert (answer.status, trusted) == (200, True)
                except aiohttp.ClientConnectorCertificateError:
                    assert not trusted
    assert len(context.get_ca_certs()) == trusted


def test_a_socket_is_wrapped_with_certificates_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
    context = DeferredCertificates(ssl.PROTOCOL_TLS_CLIENT)
    with (
        Upstream(Reply(pieces=(b"{}",)), tls=True) as upstream,
        socket.create_connection(("127.0.0.1", upstream.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        assert wrapped.version() is not None
