"""The parts of the section `server` about web pages, TLS and proxies in front. Descriptions are written for users."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from llmproxy.access.cors import EXPOSED
from llmproxy.server.tls import TlsFiles, load_context
from llmproxy.settings import Duration, ExistingFile, Strict

_HEADER = re.compile(r"\*|[!#$%&'+\-.^_`|~0-9A-Za-z]+\*?")
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s?#@*]+")
_PORTS = {"http": ":80", "https": ":443"}


def _exact_origin(value: str) -> str:
    """Return the origin as browsers send it. Raises ValueError for a pattern, or anything else."""
    origin = value.strip().lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        hint = "patterns are not possible here; list each origin, or write * for all" if "*" in origin else ""
        hint = hint or "write scheme and host, such as https://app.example.com"
        raise ValueError(f"{value!r} is not an origin; {hint}")
    default = _PORTS.get(origin.partition(":")[0])
    return origin.removesuffix(default) if default else origin


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(f"{value!r} is not a header name; write one such as X-Tenant, or X-* for several")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value.strip(), strict=False))
    except ValueError:
        raise ValueError(f"{value!r} is not a network; write one such as 10.0.0.0/8 or an address") from None


ExactOrigin = Annotated[str, AfterValidator(_exact_origin)]
HeaderPattern = Annotated[str, AfterValidator(_header)]
NetworkText = Annotated[str, AfterValidator(_network)]


class CorsConfig(Strict):
    """CORS: the web pages that may read answers."""

    allow_origins: list[ExactOrigin] = Field(
        default=[],
        description="Their origins, exact; * for every page. Requests of these pages are accepted too.",
        examples=[["https://app.example.com"]],
    )
    allow_headers: list[HeaderPattern] = Field(
        default=["*"], description="Request headers that they may send; * for all."
    )
    expose_headers: list[HeaderPattern] = Field(
        default=list(EXPOSED), description="Headers of answers that they may read; names may end with *."
    )
    max_age: Duration = Field(default=600.0, description="How long browsers may remember that a page may ask.")
    allow_credentials: bool = Field(
        default=False, description="Pages may send cookies and client certificates; needs exact origins."
    )

    @model_validator(mode="after")
    def _no_credentials_for_everybody(self) -> CorsConfig:
        if self.allow_credentials and "*" in self.allow_origins:
            raise ValueError("allow_credentials needs exact origins; with * every page could act for its visitor")
        return self


class TlsConfig(Strict):
    """TLS for clients (1.2 and later). The files are read again when they change."""

    certificate: ExistingFile = Field(
        description="Certificate (PEM), followed by those of its authorities.", examples=["./server.pem"]
    )
    key: ExistingFile = Field(description="Its private key (PEM).", examples=["./server.key"])
    client_ca: ExistingFile | None = Field(
        default=None,
        description="Authorities (PEM) of client certificates. With it every client needs one; its subject names it.",
        examples=["./clients-ca.pem"],
    )

    @model_validator(mode="after")
    def _files_can_be_used(self) -> TlsConfig:
        load_context(TlsFiles(certificate=self.certificate, key=self.key, client_ca=self.client_ca))
        return self
