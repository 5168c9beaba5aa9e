"""Find the type of provider for a service that another gateway names, or whose address it has.

Services without a type of their own are OpenAI-compatible ones with an address. Begin reading at `type_of_url`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from llmproxy.config.provider_types import service_of
from llmproxy.registry import names

COMPATIBLE = "openai-compatible"
# Ends of addresses that name one endpoint; a base_url ends before them.
_ENDPOINTS = ("/chat/completions", "/completions", "/messages", "/responses", "/models")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownService:
    """A service by the name that other gateways give it: our type, its variable for the key, and an address where the
    type has none."""

    type: str
    key_variable: str | None = None
    base_url: str | None = None


def own(type_: str) -> KnownService:
    """Return the service that is a type of its own, with the type's usual variable."""
    service = service_of(type_)
    return KnownService(type=type_, key_variable=service.key_env if service else None)


def compatible(base_url: str, key_variable: str) -> KnownService:
    """Return a service that is called by its address."""
    return KnownService(type=COMPATIBLE, key_variable=key_variable, base_url=base_url)


# From the documentation of each service.
OTHER_SERVICES: Mapping[str, KnownService] = {
    "dashscope": compatible("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "deepinfra": compatible("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "hyperbolic": compatible("https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    "moonshot": compatible("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "nvidia": compatible("https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY"),
    "sambanova": compatible("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "volcengine": compatible("https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY"),
}


def type_of_url(url: str) -> str | None:
    """Return the type whose services have that host, with its port; None for an unknown one or a variable."""
    host, port = _host(url)
    for type_ in names("providers"):
        service = service_of(type_)
        if service is None or not host:
            continue
        if service.origin and (host, port) == _host(service.origin):
            return type_
        if service.hosts and host.endswith(service.hosts):
            return type_
    return None


def _host(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").removeprefix("www."), parts.port
    except ValueError:
        return "", None


def host_of(url: str) -> str:
    """Return the host of an address, "" where it has none."""
    return _host(url)[0]


def is_usual_address(type_: str, url: str) -> bool:
    """Return whether `url` is where providers of that type are anyway."""
    service = service_of(type_)
    if service is None or service.origin is None:
        return False
    usual = {
        f"{service.origin}{service.root}",
        service.origin,
        *(f"{service.origin}{each}" for each in service.roots.values()),
    }
    return url.rstrip("/") in {each.rstrip("/") for each in usual}


def without_endpoint(url: str) -> str:
    """Return the address without the path of an endpoint at its end."""
    url = url.strip().rstrip("/")
    return next((url.removesuffix(end) for end in _ENDPOINTS if url.endswith(end)), url)
