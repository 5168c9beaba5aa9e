"""What providers share: their configuration, and the one that relays over HTTP.

A type of provider is data: a `Service` row says where it is, what it speaks and how it wants its key. Credentials are
put in and taken out here. Begin reading at `HttpProvider.prepare`, which is on the hot path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import ClassVar, Literal
from urllib.parse import parse_qsl

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from llmproxy.access.credentials import Credentials
from llmproxy.answer import Answer, Headers
from llmproxy.body import Body
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.codec import Options
from llmproxy.providers.address import join, parse_address, root_below
from llmproxy.providers.forwarding import forward, forwarded_credentials, offers_credential
from llmproxy.settings import ExistingFile, Limit, Secret, Strict, Whole
from llmproxy.target import Origin, Provider, Target, Timeouts, UpstreamRequest, is_pattern
from llmproxy.wire.framing import Framing
from llmproxy.wire.sse import SSE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[\x21-\x7e]+")

Spoken = Literal["chat", "responses", "messages", "completions", "embeddings", "openai"]


# What those who offer OpenAI's API have in common: its older names.
COMPATIBLE = Options(max_tokens_name="max_tokens", developer=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is known of a type of provider before anything is configured.

    `origin` is its usual address (None: `base_url` must be given) and `root` the path of its API there; `roots` are
    those of single capabilities that stand elsewhere, `beside` the first segments of its paths outside the root.
    `key_env` and `base_url_env` are its usual environment variables. The key travels in `key_header` behind
    `key_scheme`; `headers` are sent where the client gave none of that name. `root_always`: see `address.root_below`.
    `options` are what translated requests must know of it. `models_query` makes `GET {root}/models` list all at once.
    """

    origin: str | None
    root: str = "/v1"
    roots: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    root_always: bool = False
    beside: frozenset[str] = frozenset()
    speaks: frozenset[str]
    patterns: tuple[str, ...] = ()
    key_env: str | None = None
    base_url_env: str | None = None
    key_header: str = "Authorization"
    key_scheme: str = "Bearer "
    headers: tuple[tuple[str, str], ...] = ()
    options: Options = COMPATIBLE
    models_query: str = ""


class ProviderConfig(Strict):
    """The keys that every provider has."""

    name: str = Field(description="What the provider is called: in `provider/model`, in paths, metrics and logs.")
    type: str = Field(description="Which kind of provider; `path/file.py:Class` for one of your own.")
    enabled: bool = Field(default=True, description="`false` leaves it out without removing the entry.")
    priority: Whole = Field(default=1, description="Who comes first when several answer a model: the lowest number.")
    models: list[str] | None = Field(
        default=None,
        description="The models it answers, exact or with `*`; left out: those its type is known for. "
        "`name/model` reaches it in any case.",
    )

    @field_validator("name")
    @classmethod
    def _name_is_a_segment(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"invalid name: {name!r}; use letters, digits, `-`, `_` and `.`, and begin with a letter or digit"
            )
        return name

    @field_validator("models")
    @classmethod
    def _models_have_names(cls, models: list[str] | None) -> list[str] | None:
        if models is not None and not all(model.strip() for model in models):
            raise ValueError("contains an empty model name; remove it")
        return models


class ConfiguredProvider(Provider):
    """A provider whose name and models stand in the configuration.

    Without `models` there it answers the patterns `answers`, and everything when `alone` is set and it stands alone.
    """

    class Config(ProviderConfig):
        """No settings of its own."""

    def __init__(self, config: ProviderConfig, speaks: Iterable[str], answers: tuple[str, ...], alone: bool) -> None:
        self.name = config.name
        self.type = config.type
        self.priority = config.priority
        self.speaks = frozenset(speaks)
        self.patterns = answers if config.models is None else tuple(config.models)
        self.models = tuple(model for model in self.patterns if not is_pattern(model))
        self.sole_catch_all = alone and config.models is None


_TIMEOUTS = Timeouts()


class TimeoutsConfig(Strict):
    """How long the provider may take; `none` is without end."""

    connect: Limit = Field(default=_TIMEOUTS.connect_s, gt=0, description="Name resolution, TCP and TLS.")
    first_byte: Limit = Field(
        default=_TIMEOUTS.first_byte_s, gt=0, description="From the end of the request to the first byte of the answer."
    )
    idle: Limit = Field(default=_TIMEOUTS.idle_s, gt=0, description="The longest silence within an answer.")
    total: Limit = Field(default=_TIMEOUTS.total_s, gt=0, description="The whole call.")


class HttpProvider(ConfiguredProvider):
    """A provider that is reached over HTTP and gets what the client sent.

    Subclasses give the rows of their types as `Config.services`.
    """

    class Config(ProviderConfig):
        """The keys of every provider that is reached over HTTP."""

        services: ClassVar[Mapping[str, Service]]

        base_url: str | None = Field(default=None, description="Where it is; left out: its type's usual address.")
        api_key: Secret | None = Field(default=None, description="Its key; without one the client's own goes on.")
        api_key_env: str | None = Field(default=None, description="The environment variable that holds the key.")
        auth: Literal["inject", "passthrough"] = Field(
            default="inject",
            description="`inject`: the key replaces what the client sent; `passthrough`: the client's, else the key.",
        )
        dialects: list[Spoken] | None = Field(
            default=None,
            min_length=1,
            description="What it speaks, when that is not what its type is known for (`openai`: the rest of that API). "
            "Clients of other dialects are translated into the first of chat, responses and messages here.",
        )
        default_max_tokens: Whole = Field(
            default=8192,
            gt=0,
            description="The limit of an answer where its dialect demands one and a translated request has none.",
        )
        structured_output: Literal["native", "tool"] = Field(
            default="native",
            description="`tool`: it has none; translated requests get theirs through a tool that must be called.",
        )
        timeouts: TimeoutsConfig = Field(default_factory=TimeoutsConfig, description="How long it may take.")
        ca_file: ExistingFile | None = Field(default=None, description="Certificates (PEM) to trust as well.")
        proxy: str | None = Field(
            default="auto",
            description="The outgoing proxy, a URL; `auto`: what HTTPS_PROXY and NO_PROXY say; `none`: direct.",
        )

        @classmethod
        def service(cls, type_: str) -> Service:
            """The row of a type; a class of somebody's own that has one row only may be called anything."""
            return cls.services.get(type_) or next(iter(cls.services.values()))

        @field_validator("base_url")
        @classmethod
        def _base_url_is_an_address(cls, url: str | None, info: ValidationInfo) -> str | None:
            if url is not None:
                parse_address(url)
            elif "type" in info.data and cls.service(info.data["type"]).origin is None:
                raise ValueError(f"is missing; the type {info.data['type']!r} has no default address")
            return url

        @field_validator("api_key")
        @classmethod
        def _key_is_one_word(cls, key: SecretStr | None) -> SecretStr | None:
            """White space at the ends is what a file or a clipboard adds; an empty key is none."""
            secret = key.get_secret_value().strip() if key else ""
            if secret and not _KEY.fullmatch(secret):
                raise ValueError("contains white space or other invalid characters; copy the key again")
            return SecretStr(secret) if secret else None

        @field_validator("api_key_env")
        @classmethod
        def _env_is_a_variable(cls, variable: str | None) -> str | None:
            if variable is not None and not _VARIABLE.fullmatch(variable):
                raise ValueError("must be the name of an environment variable; write the key itself in `api_key`")
            return variable

        @field_validator("proxy")
        @classmethod
        def _proxy_is_an_address(cls, proxy: str | None) -> str | None:
            if proxy is None or proxy.strip().lower() in ("none", "off", ""):
                return None
            if proxy != "auto" and not re.match(r"https?://[^/]", proxy, re.IGNORECASE):
                raise ValueError("invalid proxy; write http://host:port, `auto` or `none`")
            return proxy

    def __init__(self, config: Config) -> None:
        service = config.service(config.type)
        super().__init__(config, service.speaks, service.patterns, alone=not service.patterns)
        url = config.base_url or service.origin
        assert url is not None, "the configuration says so"
        address = parse_address(url)
        self.origin = Origin(
            scheme=address.scheme,
            host=address.host,
            port=address.port,
            timeouts=Timeouts(
                connect_s=config.timeouts.connect,
                first_byte_s=config.timeouts.first_byte,
                idle_s=config.timeouts.idle,
                total_s=config.timeouts.total,
            ),
            ca_file=config.ca_file,
            proxy=config.proxy,
        )
        if config.dialects is not None:
            self.speaks = frozenset(config.dialects)
            self.translate_to = tuple(config.dialects)
        self.options = replace(
            service.options, default_max_tokens=config.default_max_tokens, structured_output=config.structured_output
        )
        self._base = address.path
        self._query = address.query
        self._root = root_below(address.path, service.root, always=service.root_always)
        self._roots = {name: root_below(address.path, root) for name, root in service.roots.items()}
        self._service = service
        self._beside = service.beside
        self._headers = service.headers
        key = config.api_key.get_secret_value() if config.api_key else None
        self._credential = (service.key_header, service.key_scheme + key) if key else None
        self._auth = config.auth
        self.forwards_credentials = key is None or config.auth == "passthrough"
        self.secrets = (*((key,) if key else ()), *_secrets_in(address.query))

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        """The client's request with our address and credentials; its body as it stands."""
        headers = self._credentialed(request)
        body = request.body
        if isinstance(body, Body) and not body.encoding:
            headers.popall("Content-Encoding", None)
        endpoint, path = request.endpoint, request.path
        if endpoint is None:
            path = join(self._base, self._root, path, beside=self._beside, caught=path == request.full_path)
        else:
            root = self._roots.get(endpoint.capability, self._root)
            path = join(self._base, root, path, beside=self._beside)
        return UpstreamRequest(
            origin=self.origin,
            method=request.method,
            target=self._with_query(path, request.query),
            headers=headers,
            body=body,
        )

    def list_models(self, request: ClientRequest | None) -> UpstreamRequest:
        """What asks the provider for its models: `GET {root}/models`.

        The headers are those of `request`, credentials included. None sends none of a client's: for asking several
        providers at once, none of which may see a credential that was meant for another.
        """
        headers = Headers() if request is None else self._credentialed(request)
        if request is None:
            self._complete(headers, own=True)
        for name in ("If-None-Match", "If-Modified-Since", "Range"):
            headers.popall(name, None)
        target = self._with_query(join(self._base, self._root, "/models"), self._service.models_query or None)
        return UpstreamRequest(origin=self.origin, method="GET", target=target, headers=headers, body=None)

    def describe(self) -> dict[str, object]:
        return {
            **super().describe(),
            "base_url": f"{self.origin.scheme}://{self.origin.authority}{self._base}{self._root}",
            "auth": self._auth if self._credential else "client",
        }

    def _credentialed(self, request: ClientRequest) -> Headers:
        """The client's headers as this provider gets them. What authenticated the client here stays here."""
        clients = self._passes_on(request)
        headers = forward(request.headers, credentials=clients)
        self._complete(headers, own=not clients)
        return headers

    def forwarded_credentials(self, request: ClientRequest) -> Credentials:
        return forwarded_credentials(request.headers, credentials=self._passes_on(request))

    def _passes_on(self, request: ClientRequest) -> bool:
        """Whether the client's credential goes on, and not our own."""
        if request.client.name is not None:
            return False
        return self._credential is None or (self._auth == "passthrough" and offers_credential(request.headers))

    def _complete(self, headers: Headers, *, own: bool) -> None:
        if own and self._credential is not None:
            headers.add(*self._credential)
        for name, value in self._headers:
            headers.setdefault(name, value)

    def _with_query(self, path: str, query: str | None) -> str:
        """Ours first, then the client's, byte for byte."""
        if self._query:
            query = f"{self._query}&{query}" if query else self._query
        return path if query is None else f"{path}?{query}"


def _secrets_in(query: str) -> list[str]:
    """What a base_url's query is given for: a key, besides the version that Azure wants there."""
    return [value for name, value in parse_qsl(query) if name != "api-version"]


class Frames:
    """A stream whose frames are already here; each is a read of its own."""

    def __init__(self, frames: Iterable[bytes]) -> None:
        self._frames = iter(frames)

    async def read(self) -> bytes:
        return next(self._frames, b"")

    def close(self) -> None:
        self._frames = iter(())


def json_answer(body: bytes) -> Answer:
    """A whole JSON reply of a provider that answers by itself."""
    return Answer(status=200, headers=Headers([("Content-Type", "application/json")]), body=body, length=len(body))


def stream_answer(frames: Iterable[bytes], framing: Framing = SSE) -> Answer:
    """Return the stream of a provider that answers by itself; `frames` are whole frames of `framing`."""
    headers = Headers([("Content-Type", framing.content_type), ("Cache-Control", "no-cache")])
    return Answer(status=200, headers=headers, stream=Frames(frames), framing=framing)
