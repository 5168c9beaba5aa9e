"""All vendors at their own addresses: one fake upstream behind an outgoing proxy, which every host name leads to.

Configurations so need no change to be used. Begin reading at `Internet`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import vendors
from tests.support.certificate_authority import CertificateAuthority
from tests.support.connection import Received
from tests.support.provider import Call, Upstream, tunnel

_HOSTS = (
    "api.openai.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "aiplatform.googleapis.com",
    "*.openai.azure.com",
    "*.us-east-1.amazonaws.com",
    "backup.example.com",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Internet:
    """`cloud` gets what is sent over TLS, `proxy` the rest. A program with `environment` reaches nothing else."""

    cloud: Upstream
    proxy: Upstream
    environment: dict[str, str]

    @property
    def calls(self) -> list[Received]:
        """Return every POST that arrived."""
        return [each for each in (*self.cloud.requests, *self.proxy.requests) if each.method == "POST"]

    def hosts(self) -> Counter[str]:
        """Return how many calls each host got."""
        return Counter(each.value("host") or "" for each in self.calls)

    def forget(self) -> None:
        """Reset for the next test."""
        self.cloud.forget()
        self.proxy.forget()


@contextlib.contextmanager
def internet(folder: Path) -> Iterator[Internet]:
    """Run it; `folder` is for its certificates."""
    authority = CertificateAuthority(folder)
    with Upstream(vendors.answer, tls=authority.issue("vendors", hosts=_HOSTS)) as cloud:
        through = tunnel(cloud.port)

        async def pass_on(call: Call) -> None:
            await (through if call.request.method == "CONNECT" else vendors.answer)(call)

        with Upstream(pass_on) as proxy:
            way = {"HTTPS_PROXY": proxy.url, "HTTP_PROXY": proxy.url, "SSL_CERT_FILE": str(authority.ca)}
            yield Internet(cloud=cloud, proxy=proxy, environment=way)
