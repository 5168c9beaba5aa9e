"""Where a request can be sent: origins, providers and targets.

Values and one interface. An `Origin` is a network peer with its timeouts and trust, a `Provider` a place that speaks
dialects, a `Target` one provider with a model name. Connections to origins
belong to `upstream/`, the choice among targets to `route.py` and `routing/`, the providers to `providers/`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import ClassVar

import msgspec
from multidict import CIMultiDict

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body, StreamedBody
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.encode_context import Options
from llmproxy.target_health import TargetHealth
from llmproxy.user_code import is_user_defined


def is_pattern(name: str) -> bool:
    """Return whether a model name in the configuration stands for several (fnmatch style: `*`, `?`, `[ab]`)."""
    return any(sign in name for sign in "*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits of the time that a provider takes, in seconds; None for no limit.

    `connect_s` covers name resolution, TCP and TLS; `first_byte_s` the time from the end of the request to the first
    byte of the answer; `idle_s` the longest silence within an answer; `total_s` the whole call.
    """

    connect_s: float | None = 10.0
    first_byte_s: float | None = 600.0
    idle_s: float | None = 300.0
    total_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """A network peer with its own connections. Compared by identity: one per provider.

    `ca_file` adds trusted certificates (PEM) for this peer. `proxy` is `auto` (the environment's HTTPS_PROXY,
    HTTP_PROXY and NO_PROXY decide), None for none, or a URL. `authority` is the Host header: without the port where
    it is the scheme's own, an IPv6 address in brackets; `url` is the address without a path.
    """

    scheme: str
    host: str
    port: int
    timeouts: Timeouts = field(default_factory=Timeouts)
    ca_file: str | None = None
    proxy: str | None = "auto"
    authority: str = field(init=False)
    url: str = field(init=False)

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        authority = host if self.port == default else f"{host}:{self.port}"
        object.__setattr__(self, "authority", authority)
        object.__setattr__(self, "url", f"{self.scheme}://{authority}")


class UpstreamRequest(msgspec.Struct, kw_only=True):
    """The request of one call to a provider. `target` is path and query, byte for byte; `headers` are end-to-end
    headers only (no Host, no framing), credentials in place. `adapt` is awaited with the answer, as far as its head,
    and returns the one that the client gets: where the provider has another form of the call, or must see its answers.
    `complete` is awaited before it is sent: for what would hold up others, such as the digest of a large body.
    `renew` is awaited with an answer of 400, 401 or 403, and returns whether the provider has got other credentials
    since, so that the call can be made once more. `upgrade` says that it opens a WebSocket.
    `timeouts` are those of the target, None for those of the origin; how long connecting takes is the origin's.
    """

    origin: Origin
    method: str
    target: str
    headers: Headers
    body: Body | StreamedBody | None
    adapt: Callable[[Answer], Awaitable[Answer]] | None = None
    complete: Callable[[], Awaitable[None]] | None = None
    renew: Callable[[Answer], Awaitable[bool]] | None = None
    timeouts: Timeouts | None = None
    upgrade: bool = False


def request_fault(request: object) -> str:
    """Return what is wrong with a request that a user's `prepare` or `list_models` returned, "" for nothing."""
    if not isinstance(request, UpstreamRequest):
        return f"returned a value of type {type(request).__name__}, not an UpstreamRequest"
    expected: Mapping[str, tuple[type, ...]] = {
        "origin": (Origin,),
        "method": (str,),
        "target": (str,),
        "headers": (CIMultiDict,),
        "body": (Body, StreamedBody, NoneType),
    }
    for name, types in expected.items():
        if not isinstance(getattr(request, name), types):
            names = " or ".join("None" if each is NoneType else each.__name__ for each in types)
            return f"made a request whose {name} is a {type(getattr(request, name)).__name__}, not {names}"
    if wrong := next((name for name, value in request.headers.items() if not isinstance(value, str)), None):
        return f"made a request whose header {wrong!r} is not a string"
    return ""


OpenUpstream = Callable[[UpstreamRequest], Awaitable[Answer]]
"""Sends a request and returns the answer as far as its head. Raises UpstreamError. `Upstream.open` is the real one."""


class Provider(ABC):
    """A place that speaks one or more dialects. Built at start, immutable afterwards.

    `speaks` holds the capabilities it serves (`dialects.dialect.Endpoint.capability`), `patterns` the model names it
    answers without being named (fnmatch style, `*` for all), `models` the names it can list without asking anybody,
    and `priority` its place among equals (low first). `sole_catch_all` says that it answers every name when there
    is no other provider. `secrets` are the credentials that it adds to requests: what must not be shown when an answer
    repeats them. `forwards_credentials` says that it gets the credentials that clients send for a provider, and so
    verifies them. `address` is its URL, where it has one, and `origin` the peer of its calls where that is always the
    same: idle connections to it are closed with the provider. Clients of dialects that it does not speak are served
    through translation: it is asked in the first of `translate_to` that it speaks and that can be translated (of the
    catalog, when that is empty), with `options`. `rotates` says that it has several credentials, so that a call that is
    refused may succeed with another one.
    """

    name: str
    type: str
    speaks: frozenset[str]
    patterns: tuple[str, ...]
    models: tuple[str, ...]
    priority: int
    sole_catch_all: bool
    secrets: tuple[str, ...] = ()
    forwards_credentials: bool = False
    address: str | None = None
    origin: Origin | None = None
    translate_to: tuple[str, ...] = ()
    options: Options = Options()
    rotates: bool = False

    refreshes: ClassVar[bool] = False
    """Whether `ready` is awaited before each call; set for classes that override it."""

    holds_bodies: ClassVar[bool] = False
    """Whether it must have the whole body of each request, also on paths that nobody knows: a signature covers it."""

    user_defined: ClassVar[bool] = False
    """Whether its class is defined by a user, so that what it returns is checked."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.refreshes = cls.ready is not Provider.ready
        cls.user_defined = is_user_defined(cls)

    def speaks_for(self, model: str | None) -> frozenset[str]:
        """Return what of `speaks` it serves for one model: clouds have models of several makers."""
        return self.speaks

    def embeds_as(self, model: str | None) -> str | None:
        """Return the name of the form in which it takes texts to embed with a model (`EmbeddingCodec.name`), without a
        name with any; None where it does not."""
        return "embeddings" if "embeddings" in self.speaks_for(model) else None

    def has_path(self, path: str) -> bool:
        """Return whether it has a path without a model of a dialect that it speaks: clouds have others than vendors."""
        return True

    def has_call(self, endpoint: Endpoint) -> bool:
        """Return whether it has this call of a dialect that it speaks: a vendor has all of them."""
        return True

    async def ready(self) -> None:  # noqa: B027  # most credentials never change
        """Refresh credentials that are about to expire. Awaited before `prepare`; may raise ProxyError."""

    @abstractmethod
    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest | None:
        """Return the request to send upstream, credentials in place; None when the provider answers by itself.

        The path is the provider's to choose, from the path of `request`, its endpoint and the target's model.
        """

    def forwarded_credentials(self, request: ClientRequest) -> tuple[tuple[str, str], ...]:
        """Return the headers with credentials of the client that go on to this provider, names in lower case."""
        return ()

    async def answer(self, request: ClientRequest, target: Target) -> Answer:
        """Return the provider's own answer. Called only after `prepare` returned None; may raise ProxyError."""
        raise NotImplementedError(f"provider {self.name!r} prepares requests, it does not answer them")

    def replace_credential(self, request: UpstreamRequest, status: int, rest_s: float | None) -> bool | None:
        """Take note that the provider refused the credential of `request` with `status` (401, 402, 403 or 429), for
        `rest_s` seconds where it says so. Return whether there is another one, with which the same call may succeed
        now; None for a provider with one credential or none.
        """
        return None

    async def refuses_credential(self, answer: Answer) -> bool:
        """Return whether an answer of status 400 refuses the credential, not the request, as the codes in its body say.
        Asked where there are several credentials."""
        return False

    def credential_mark(self, request: UpstreamRequest) -> str:
        """Return what tells the credential of `request` from its others, "" where it has one or none: what was made
        with it belongs to it."""
        return ""

    def credentials_rest_s(self) -> float:
        """Return in how many seconds the first of its credentials can be used again, where `replace_credential` found
        none; math.inf for unknown.
        """
        return math.inf

    def list_models(self, request: ClientRequest | None) -> UpstreamRequest | None:
        """Return the request that lists its models, with the headers of `request`, or with nothing of a client without
        one; None when the provider has no such call, then `models` is its list.
        """
        return None

    async def start(self) -> None:  # noqa: B027  # most providers own nothing
        """Start what the provider owns. Called once, before traffic."""

    async def close(self) -> None:  # noqa: B027  # most providers own nothing
        """Close what the provider owns. Called once, after the last exchange that used it."""

    def describe(self) -> dict[str, object]:
        """Return what `/providers` and the banner show: never a key, only its source."""
        return {"name": self.name, "type": self.type, "dialects": sorted(self.speaks), "models": list(self.patterns)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Selects the requests that a target takes: those that fit everything that is set.

    `headers` are names with patterns for their values, `keys` patterns for the name of the client's key. Tokens are
    those of the request, estimated from its length.
    """

    headers: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()
    min_tokens: int | None = None
    max_tokens: int | None = None
    has_images: bool | None = None
    has_tools: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLimit:
    """The configured limits of a target: requests and tokens in a minute, and calls at a time."""

    rpm: int | None = None
    tpm: int | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing a request can be sent to. `model` None sends the name that the client gave.

    `weight` is its share of the route's requests, 0 where it is called only when all others are out. `extra_body` are
    members for the top level of the body (JSON), `extra_headers` headers, both in place of the client's. `timeouts`
    are names of `Timeouts` with values in place of the provider's, `when` None takes every request, `limit` None allows
    everything. `health` is None where nothing else could be called in its place.
    """

    provider: Provider
    model: str | None = None
    weight: int = 1
    extra_body: tuple[tuple[str, bytes], ...] = ()
    extra_headers: tuple[tuple[str, str], ...] = ()
    timeouts: tuple[tuple[str, float], ...] = ()
    when: Condition | None = None
    limit: TargetLimit | None = None
    health: TargetHealth | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Return the short form of the target, as in the configuration."""
        return self.provider.name if self.model is None else f"{self.provider.name}/{self.model}"
