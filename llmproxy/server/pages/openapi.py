"""The OpenAPI document of one configuration: our own pages, and what clients can call at its providers.

It is made from the tables in which requests are looked up (`dialects/catalog.py`, `Router`, the pages of `Admin`), so
that it lists what is served and nothing else. Begin reading at `OpenApi.document`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmproxy.access.admission import Audience
from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.rest_calls import ANY_METHOD
from llmproxy.middleware.base import PageOperation
from llmproxy.routing.router import Router
from llmproxy.server.pages.operations import (
    Described,
    OperationObject,
    any_body,
    call_body,
    call_responses,
    operation,
    page_responses,
    relayed_responses,
    stream_query,
)

Paths = dict[str, dict[str, OperationObject]]
Security = Sequence[dict[str, Any]]
MODELS, PAGES, PROVIDERS = "models", "pages", "providers"
_ADMIN, _CLIENT, _HEADER, _CERTIFICATE, _ANY = (
    "adminKey",
    "clientKey",
    "clientKeyHeader",
    "certificate",
    "authorization",
)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_READING = ("GET", "HEAD")

_DESCRIPTION = """What this configuration serves:

* `/v1` in front of a path may be left out, and the paths of OpenAI's API are served below `/openai-proxy` too.
* The forms that clouds have of a call, below a deployment or a project, are the same calls at other paths.
* Every answer has the header `x-request-id`.
"""
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What clients show who they are with, as the configuration says: keys, tokens, a certificate. Without any of them
    everybody who reaches the proxy may call it. `admin_key` says that the operator has a key."""

    keys: bool = False
    tokens: bool = False
    certificates: bool = False
    admin_key: bool = False

    @property
    def on(self) -> bool:
        return self.keys or self.tokens or self.certificates

    def schemes(self) -> dict[str, Any]:
        """Return the security schemes by name."""
        bearer = {"type": "http", "scheme": "bearer"}
        client = {**bearer, "bearerFormat": "JWT"} if self.tokens and not self.keys else bearer
        described = {**bearer, "description": "Any key; a provider without one of its own gets it."}
        return {
            **({_CLIENT: client} if self.keys or self.tokens else {}),
            **({_HEADER: {"type": "apiKey", "in": "header", "name": "X-API-Key"}} if self.keys else {}),
            **({_CERTIFICATE: {"type": "mutualTLS"}} if self.certificates else {}),
            **({} if self.keys or self.tokens else {_ANY: described}),
            **({_ADMIN: {**bearer, "description": "server.admin_key"}} if self.on or self.admin_key else {}),
        }

    def for_clients(self, endpoint: Endpoint | None = None) -> Security:
        """Return the alternatives for a call."""
        if endpoint is not None and endpoint.dialect.needs_authorization:
            return [{_CLIENT: []} if self.keys or self.tokens else {_ANY: []}]
        names = [name for name in (_CLIENT, _HEADER, _CERTIFICATE) if name in self.schemes()]
        return [{name: []} for name in names] or [{}, {_ANY: []}]

    def for_page(self, audience: Audience, method: str) -> Security:
        """Return the alternatives for a page; without keys, a client on this machine needs none."""
        if audience is Audience.CLIENTS:
            return self.for_clients()
        if audience is Audience.EVERYBODY or not (self.on or self.admin_key):
            return []
        if self.on:
            return [{_ADMIN: []}]
        return [] if method in _READING else [{}, {_ADMIN: []}]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedPage:
    """One of our own pages: its path, who may read it, and what its methods do."""

    path: str
    audience: Audience
    operations: Sequence[PageOperation]


class OpenApi:
    """Describes one configuration. `estimates` says that tokens are estimated where no provider counts them."""

    def __init__(
        self, router: Router, *, version: str, protection: Protection | None = None, estimates: bool = False
    ) -> None:
        self._router = router
        self._version = version
        self._protection = protection or Protection()
        self._estimates = estimates
        self._model = next(iter(router.models()), "my-model")

    def document(self, pages: Iterable[DescribedPage]) -> dict[str, Any]:
        """Return the document of the calls to providers, and of `pages`."""
        paths: Paths = {}
        for method, path, described, security in (*self._calls(), *self._pages(pages), *self._prefixes()):
            paths.setdefault(path, {})[method.lower()] = operation(method, path, described, security)
        tags = dict.fromkeys(each["tags"][0] for methods in paths.values() for each in methods.values())
        return {
            "openapi": "3.1.0",
            "info": {"title": "llmproxy", "version": self._version, "description": _DESCRIPTION},
            "tags": [{"name": name} for name in tags],
            "paths": paths,
            "components": {"schemas": {"Error": _ERROR}, "securitySchemes": self._protection.schemes()},
        }

    def _calls(self) -> Iterator[tuple[str, str, Described, Security]]:
        for methods, path, endpoint in catalog.calls():
            if self._serves(endpoint):
                security = self._protection.for_clients(endpoint)
                for method in methods:
                    yield method, path, self._call(method, endpoint), security

    def _serves(self, endpoint: Endpoint) -> bool:
        """Return whether anything here answers this call: a provider, what the proxy has stored, an estimate."""
        if self._router.serves(endpoint):
            return True
        if catalog.names_stored(endpoint):
            return endpoint.capability == endpoint.dialect.name and not self._router.has_responses
        count = endpoint.dialect.token_count
        return self._estimates and count is not None and count.path == endpoint.path

    def _call(self, method: str, endpoint: Endpoint) -> Described:
        tag = endpoint.capability
        if not endpoint.model:
            summary = "Read or change what is stored" if catalog.names_stored(endpoint) else "Relayed to its provider"
            body = None if method in ("GET", "DELETE") else any_body()
            return Described(tag=tag, summary=summary, responses=relayed_responses(), body=body)
        return Described(
            tag=tag,
            summary=_summary(endpoint),
            responses=call_responses(endpoint),
            query=stream_query(endpoint.dialect) if endpoint.streams else None,
            body=call_body(endpoint, self._model),
        )

    def _pages(self, pages: Iterable[DescribedPage]) -> Iterator[tuple[str, str, Described, Security]]:
        for page in pages:
            tag = MODELS if page.audience is Audience.CLIENTS else PAGES
            for each in page.operations:
                described = Described(
                    tag=tag,
                    summary=each.summary,
                    responses=page_responses(each.content_types),
                    query=each.query,
                )
                path = f"{page.path}/{{name}}" if each.below else page.path
                yield each.method, path, described, self._protection.for_page(page.audience, each.method)

    def _prefixes(self) -> Iterator[tuple[str, str, Described, Security]]:
        places = {
            f"/{name}/{{path}}": each for name, each in self._router.prefixes().items() if _SEGMENT.fullmatch(name)
        }
        if self._router.catch_all is not None:
            places["/{path}"] = self._router.catch_all
        for path, provider in places.items():
            for method in ANY_METHOD:
                described = Described(
                    tag=PROVIDERS,
                    summary=f"Relayed to {provider.name} as it is",
                    responses=relayed_responses(),
                    body=None if method in ("GET", "DELETE") else any_body(),
                )
                yield method, path, described, self._protection.for_clients()


def _summary(endpoint: Endpoint) -> str:
    """Say in a few words what a call that names a model does."""
    count = endpoint.dialect.token_count
    if count is not None and count.path == endpoint.path:
        return "Count the tokens of a request"
    if endpoint.translatable:
        return "Ask a model, for a stream" if endpoint.streams else "Ask a model"
    return "Relayed to the provider of its model"
