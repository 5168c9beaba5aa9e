"""TLS for clients: new files for new connections, and certificates of clients."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmproxy.server.tls import ServerTls, TlsFiles, load_context
from tests.support.certificate_authority import CertificateAuthority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("ca"))


@asynccontextmanager
async def listening(tls: ServerTls) -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            subject = writer.get_extra_info("peercert") or {}
            writer.write(line.strip() + str(subject.get("subject", "")).encode() + b"\n")
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Peer:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext) -> Peer:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    @property
    def name_of_server(self) -> str:
        return str(self._writer.get_extra_info("peercert")["subject"][-1][0][1])

    async def say(self, text: str) -> str:
        self._writer.write(text.encode() + b"\n")
        return (await self._reader.readline()).decode().strip()

    def close(self) -> None:
        self._writer.close()


def files(authority: CertificateAuthority, name: str, client_ca: Path | None = None) -> TlsFiles:
    certificate, key = authority.issue(name, file="server")
    return TlsFiles(certificate=str(certificate), key=str(key), client_ca=str(client_ca) if client_ca else None)


async def test_new_connections_get_new_files_and_old_ones_go_on(authority: CertificateAuthority) -> None:
    tls = ServerTls(files(authority, "first"))
    async with listening(tls) as port:
        old = await Peer.connect(port, authority.client())
        files(authority, "second")
        await tls.reload()
        new = await Peer.connect(port, authority.client())
        assert (old.name_of_server, new.name_of_server) == ("first", "second")
        assert [await peer.say("hello") for peer in (old, new)] == ["hello", "hello"]
        old.close()
        new.close()


async def test_a_bad_file_changes_nothing(authority: CertificateAuthority, caplog: pytest.LogCaptureFixture) -> None:
    tls = ServerTls(files(authority, "good"))
    (authority.folder / "server.key").write_text("nonsense")  # it is short
    await tls.reload()
    assert "the old one stays" in caplog.text and caplog.records[-1].levelno == logging.ERROR
    async with listening(tls) as port:
        peer = await Peer.connect(port, authority.client())
        assert peer.name_of_server == "good"
        peer.close()


async def test_clients_need_a_certificate_of_the_newest_authorities(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    other = CertificateAuthority(tmp_path, "other")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.ca.read_bytes())
    tls = ServerTls(files(authority, "server", trusted))
    ours, theirs = authority.issue("ci", "Acme"), other.issue("ci", "Acme")

    async def said(certificate: tuple[Path, Path] | None) -> str:
        peer = await Peer.connect(port, authority.client(certificate))
        try:
            if answer := await peer.say("x"):
                return answer
            raise ConnectionError("the server ended it")
        finally:
            peer.close()

    async with listening(tls) as port:
        assert await said(ours) == "x((('organizationName', 'Acme'),), (('commonName', 'ci'),))"
        for certificate in (None, theirs):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await said(certificate)
        trusted.write_bytes(other.ca.read_bytes())
        await tls.reload()
        assert "'ci'" in await said(theirs)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await said(ours)


async def test_old_versions_are_refused(authority: CertificateAuthority) -> None:
    context = authority.client()
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with listening(ServerTls(files(authority, "server"))) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Peer.connect(port, context)


def test_files_that_do_not_fit_are_named(authority: CertificateAuthority, tmp_path: Path) -> None:
    certificate, _ = authority.issue("a")
    _, key = authority.issue("b")
    with pytest.raises(ValueError, match=r"the key in .*b\.key does not belong to the certificate in .*a\.pem"):
        load_context(TlsFiles(certificate=str(certificate), key=str(key)))
    with pytest.raises(ValueError, match=r"cannot read .*none\.pem"):
        load_context(TlsFiles(certificate=str(tmp_path / "none.pem"), key=str(key)))
