"""TLS for clients: certificates that may change while the server runs, and the subjects of clients' certificates.

The listening socket keeps one context. Each handshake changes to the newest one, so that connections that exist go on,
and new ones get the new files. Begin reading at `ServerTls`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

from llmproxy.server.file_watch import FileWatch, file_stamp
from llmproxy.system_errors import explain_fault

log = logging.getLogger(__name__)

HANDSHAKE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files. With `client_ca` every client needs a certificate of these authorities."""

    certificate: str
    key: str
    client_ca: str | None = None

    @property
    def paths(self) -> list[str]:
        """Return all of them."""
        return [path for path in (self.certificate, self.key, self.client_ca) if path]


def load_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a server's context with these files. Raises ValueError that names the file. Blocks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password="")  # never ask on the console for one
    except ssl.SSLError as error:
        raise ValueError(_why(files, error)) from error
    except OSError as error:
        raise ValueError(f"cannot read {files.certificate} or {files.key}: {_reason(error)}") from error
    if files.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        # A session that is resumed is not verified again, by whatever authorities there are by then.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        try:
            context.load_verify_locations(cafile=files.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{files.client_ca} contains no certificates (PEM): {_reason(error)}") from error
    return context


def _why(files: TlsFiles, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key in {files.key} does not belong to the certificate in {files.certificate}"
    what = f"{files.certificate} and {files.key} are not a certificate and its key (PEM, without a passphrase)"
    return f"{what}: {_reason(error)}"


def _reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason.lower().replace("_", " ") if reason else explain_fault(error)


class ServerTls:
    """The context for a listening socket. `reload` changes its files. Raises ValueError as `load_context` does."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.stamps = [file_stamp(each) for each in files.paths]  # before they are read
        self._newest = load_context(files)
        self.context = load_context(files)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """Give a handshake the newest files. Called for each, also where the client names no server."""
        connection.context = self._newest

    async def reload(self) -> None:
        """Read the files again, after one of them has changed. A file that cannot be used changes nothing."""
        try:
            self._newest = await asyncio.to_thread(load_context, self.files)
        except ValueError as error:
            log.error("the changed certificate is not used, the old one stays: %s", error)
        else:
            log.info("%s was read again", self.files.certificate)


@contextlib.asynccontextmanager
async def renewed(tls: ServerTls | None) -> AsyncIterator[None]:
    """Read the files of `tls` again whenever they change, within the block."""
    if tls is None:
        yield
        return
    watch = FileWatch(tls.files.paths, tls.reload, tls.stamps)
    await watch.start()
    try:
        yield
    finally:
        await watch.close()
