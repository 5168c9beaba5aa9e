"""Import aiohttp without reading the trusted certificates.

aiohttp reads them twice while it is imported: a sixth of the time to start, for a context that no provider uses, as
each has its own, and for one that verifies nothing. The first reads them when its first connection begins. Begin
reading at `import_aiohttp`.
"""

from __future__ import annotations

import ssl
import sys
from typing import Any


class DeferredCertificates(ssl.SSLContext):
    """A TLS context that reads the certificates of the system when it is used for the first time."""

    _read = False

    def _read_certificates(self) -> None:
        if not self._read:
            self._read = True
            self.load_default_certs()

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        self._read_certificates()
        return super().wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        self._read_certificates()
        return super().wrap_socket(*args, **options)


def import_aiohttp() -> None:
    """Import aiohttp, and defer what it reads. Does nothing when it is imported already."""
    if "aiohttp" in sys.modules:
        return
    context: Any = ssl.SSLContext
    read, read_paths = context.load_default_certs, context.set_default_verify_paths
    context.load_default_certs = context.set_default_verify_paths = _read_nothing
    try:
        from aiohttp import connector
    finally:
        context.load_default_certs, context.set_default_verify_paths = read, read_paths
    connector._SSL_CONTEXT_VERIFIED.__class__ = DeferredCertificates


def _read_nothing(context: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
    return
