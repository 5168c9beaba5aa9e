"""The base classes of providers and of their configuration, and the provider that relays over HTTP.

A provider type is data: a `Service` row has its address, its dialects and the header of its key. This module adds and
removes credentials. Begin reading at `HttpProvider.prepare`, which is on the hot path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal
from urllib.parse import parse_qsl

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, WithJsonSchema, field_validator

from llmproxy.access.credentials import Credentials, query_credentials
from llmproxy.access.path_traversal import check_path
from llmproxy.access.presented_keys import drop_protocol_key
from llmproxy.answer import Headers
from llmproxy.body import Body
from llmproxy.client_request import ClientRequest
from llmproxy.dialects import catalog
from llmproxy.dialects.call_form import without_fields
from llmproxy.dialects.socket_calls import without_deployment
from llmproxy.pricing.price_config import PriceConfigs
from llmproxy.providers.address import join, root_below, split_base_url
from llmproxy.providers.call_answers import adapter
from llmproxy.providers.call_forms import form_named, reform
from llmproxy.providers.forwarding import forward, forward_query, forwarded_credentials, offers_credential
from llmproxy.providers.key_rotation import KeyRotation
from llmproxy.providers.service import COMPATIBLE_OPTIONS as COMPATIBLE_OPTIONS
from llmproxy.providers.service import Service as Service
from llmproxy.settings import DurationLimit, ExistingFile, Secret, Strict, Whole
from llmproxy.target import Origin, Provider, Target, Timeouts, UpstreamRequest, is_pattern

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[\x21-\x7e]+")


def _known_capability(name: str) -> str:
    known = catalog.capabilities()
    if name not in known:
        raise ValueError(f"{name!r} is not a dialect; use {', '.join(known)}")
    return name


Capability = Annotated[
    str, AfterValidator(_known_capability), WithJsonSchema({"type": "string", "enum": list(catalog.capabilities())})
]


class ProviderConfig(Strict):
    """The keys that every provider has."""

    name: str = Field(description="Name of the provider in `provider/model`, in paths, metrics and logs.")
    type: str = Field(description="Type of provider; `path/file.py:Class` for one of your own.")
    enabled: bool = Field(default=True, description="`false` disables it.")
    priority: Whole = Field(default=1, description="Order among providers of the same model: the lowest number first.")
    models: list[str] | None = Field(
        default=None,
        description="Models it answers, exact or with `*`; by default the usual ones of its type. "
        "`name/model` always reaches it.",
    )
    prices: PriceConfigs = Field(
        default={},
        description="Prices of its models in USD per million tokens, as the section `prices`, which they precede.",
        examples=[{"gpt-4o*": {"input": 2.75, "output": 11.0}}],
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
    """A provider with name and models from the configuration.

    Without `models` there it answers the patterns `answers`, and every model when `alone` is set and it is the only
    provider.
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
    """How long the provider may take; `none` is no limit."""

    connect: DurationLimit = Field(default=_TIMEOUTS.connect_s, gt=0, description="Name resolution, TCP and TLS.")
    first_byte: DurationLimit = Field(
        default=_TIMEOUTS.first_byte_s, gt=0, description="From the end of the request to the first byte of the answer."
    )
    idle: DurationLimit = Field(default=_TIMEOUTS.idle_s, gt=0, description="Longest pause within an answer.")
    total: DurationLimit = Field(default=_TIMEOUTS.total_s, gt=0, description="The whole call.")


class HttpProvider(ConfiguredProvider):
    """A provider that gets the client's request over HTTP.

    Subclasses list the rows of their types in `Config.services`.
    """

    class Config(ProviderConfig):
        """The keys of every provider with an HTTP address."""

        services: ClassVar[Mapping[str, Service]]

        base_url: str | None = Field(default=None, description="Its address; by default the usual one of its type.")
        api_key: Secret | None = Field(
            default=None, description="Its key; without one the client's own key is forwarded."
        )
        api_key_env: str | None = Field(default=None, description="Environment variable with the key.")
        api_keys: list[Secret] = Field(
            default=[],
            description="More keys. They are used in turn; one that the provider refuses (401, 402, 403, 429) is left "
            "out for a while, and the same request goes on with the next one.",
        )
        auth: Literal["inject", "passthrough"] = Field(
            default="inject",
            description="`inject`: the key replaces the client's; `passthrough`: the client's key, else this one.",
        )
        dialects: list[Capability] | None = Field(
            default=None,
            min_length=1,
            description="Its dialects, if not the usual ones of its type (`openai`: the rest of that API). "
            "Other requests are translated into the first one of this list that has a translation.",
        )
        default_max_tokens: Whole | None = Field(
            default=None,
            gt=0,
            description="Token limit of an answer, when its dialect requires one and a translated request has none; "
            "by default the longest answer of the model, up to 32000.",
        )
        system_turns: bool | None = Field(
            default=None,
            description="Whether it accepts system messages after the first message of a translated request; otherwise "
            "they are sent as the user's. By default its type and model decide.",
        )
        prefill: Literal["auto", "refuse", "continue"] = Field(
            default="auto",
            description="A last message of the assistant, for a model that refuses it: `continue` puts a message of "
            "the user behind it, `refuse` answers 400; `auto`: `continue` for clients of the Responses API.",
        )
        prompt_cache: Literal["auto", "always", "off"] = Field(
            default="auto",
            description="Prompt-cache marks (`cache_control`) in requests that are translated into messages: `auto` "
            "when they declare tools or hold an answer, `always`, or `off`.",
        )
        structured_output: Literal["native", "tool"] | None = Field(
            default=None,
            description="`tool`: the provider has no structured output; translated requests force a tool call. "
            "By default its type decides.",
        )
        timeouts: TimeoutsConfig = Field(default_factory=TimeoutsConfig, description="How long it may take.")
        ca_file: ExistingFile | None = Field(default=None, description="Additional trusted certificates (PEM).")
        proxy: str | None = Field(
            default="auto",
            description="Outgoing proxy, a URL; `auto`: from HTTPS_PROXY and NO_PROXY; `none`: direct.",
        )

        @classmethod
        def service(cls, type_: str) -> Service:
            """Return the row of a type; a custom class with a single row may use any type name."""
            return cls.services.get(type_) or next(iter(cls.services.values()))

        def address(self) -> str:
            """Return the URL that is called, for people to read: `base_url`, or the usual one."""
            service = self.service(self.type)
            return self.base_url or f"{service.origin}{service.root}"

        @field_validator("base_url")
        @classmethod
        def _base_url_is_an_address(cls, url: str | None, info: ValidationInfo) -> str | None:
            if url is not None:
                split_base_url(url)
            elif "type" in info.data and cls.service(info.data["type"]).origin is None:
                raise ValueError(f"is missing; the type {info.data['type']!r} has no default address")
            return url

        @field_validator("api_key")
        @classmethod
        def _key_is_one_word(cls, key: SecretStr | None) -> SecretStr | None:
            """Strip white space that a file or the clipboard added; treat an empty key as none."""
            secret = key.get_secret_value().strip() if key else ""
            if secret and not _KEY.fullmatch(secret):
                raise ValueError("contains white space or other invalid characters; copy the key again")
            return SecretStr(secret) if secret else None

        @field_validator("api_keys")
        @classmethod
        def _keys_are_words(cls, keys: list[SecretStr]) -> list[SecretStr]:
            stripped = [cls._key_is_one_word(key) for key in keys]
            if not all(stripped):
                raise ValueError("contains an empty key; remove it")
            return [key for key in stripped if key is not None]

        @property
        def keys(self) -> list[str]:
            """Return all its keys."""
            keys = [*([self.api_key] if self.api_key else []), *self.api_keys]
            return list(dict.fromkeys(key.get_secret_value() for key in keys))

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

    origin: Origin

    def __init__(self, config: Config) -> None:
        service = config.service(config.type)
        super().__init__(config, service.speaks, service.patterns, alone=not service.patterns)
        url = config.base_url or service.origin
        assert url is not None, "checked by the configuration"
        address = split_base_url(url)
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
        options = service.options
        self.options = replace(
            options,
            default_max_tokens=config.default_max_tokens,
            structured_output=config.structured_output or options.structured_output,
            system_turns=options.system_turns if config.system_turns is None else config.system_turns,
            prefill=config.prefill,
            prompt_cache=config.prompt_cache,
        )
        self._base = address.path
        self._query = address.query
        self.address = f"{self.origin.url}{address.path}"
        self._root = root_below(address.path, service.root, always=service.root_always)
        self._roots = {name: root_below(address.path, root) for name, root in service.roots.items()}
        self._by_model = () if config.dialects is not None else service.by_model
        self._service = service
        self._form = ""
        self._beside = service.beside
        self._headers = service.headers
        keys = [service.key_scheme + key for key in config.keys]
        self._credential = (service.key_header, keys[0]) if keys else None
        self._rotation = KeyRotation(keys) if len(keys) > 1 else None
        self.rotates = self._rotation is not None
        self._auth = config.auth
        self.forwards_credentials = not keys or config.auth == "passthrough"
        self.secrets = (*config.keys, *_secrets_in(address.query))

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        """Build the client's request for this provider: its address and credentials, the body unchanged."""
        headers = self._headers_for(request)
        endpoint, path, query, body = request.endpoint, request.path, request.query, request.body
        adapt = None
        if endpoint is not None and (endpoint.form is not None or self._form):
            form = form_named(endpoint, self._form)
            path, query, body = reform(request, endpoint, form, headers)
            adapt = adapter(endpoint, form, request.request_id)
            if adapt is not None:
                headers["Accept-Encoding"] = "identity"
        if query is not None:
            own = not self._forwards_credential(request)
            query = forward_query(query, self._service.query_credentials if own else frozenset())
            if query and request.upgrade and request.model is not None:
                query = self._socket_query(query)
        check_path(path)  # a hook, a route or a body may have written it
        path = self._path_for(request, path)
        if isinstance(body, Body) and not body.encoding:
            headers.popall("Content-Encoding", None)
        return UpstreamRequest(
            origin=self.origin,
            method=request.method,
            target=self._with_query(path, query),
            headers=headers,
            body=body,
            adapt=adapt,
        )

    def _path_for(self, request: ClientRequest, path: str) -> str:
        """Return the path to send upstream; `path` is the client's below a prefix, or unversioned."""
        endpoint = request.endpoint
        if endpoint is None:
            return join(self._base, self._root, path, beside=self._beside, caught=path == request.full_path)
        root = self._roots.get(endpoint.dialect.base or endpoint.capability, self._root)
        return join(self._base, root, path, beside=self._beside)

    def _socket_query(self, query: str) -> str:
        """Return the query of a WebSocket, which names a model, as this provider has it."""
        return without_deployment(query)

    def speaks_for(self, model: str | None) -> frozenset[str]:
        for beginning, speaks in self._by_model if model is not None else ():
            if re.match(beginning, model or ""):
                return speaks
        return self.speaks

    def embeds_as(self, model: str | None) -> str | None:
        for pattern, name in self._service.embeds:
            codec = catalog.embedding_codec(name)
            if codec is not None and codec.dialect in self.speaks and (model is None or re.search(pattern, model)):
                return name
        return super().embeds_as(model)

    def list_models(self, request: ClientRequest | None) -> UpstreamRequest:
        """Build the request for the provider's models: `GET {root}/models`.

        It has the headers of `request`, credentials included. With None it has none of a client: for requests to
        several providers, which must not see a credential for another one.
        """
        headers = Headers() if request is None else self._headers_for(request)
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

    def _headers_for(self, request: ClientRequest) -> Headers:
        """Build the headers for this provider. A credential that authenticated the client here is not forwarded."""
        forwards = self._forwards_credential(request)
        headers = forward(request.headers, credentials=forwards)
        if request.upgrade and not forwards:
            drop_protocol_key(headers)
        self._complete(headers, own=not forwards, credential=request.credential)
        return headers

    def forwarded_credentials(self, request: ClientRequest) -> Credentials:
        forwards = self._forwards_credential(request)
        credentials = forwarded_credentials(request.headers, credentials=forwards)
        if forwards and request.query is not None and self._service.query_credentials:
            credentials += query_credentials(request.query)
        return credentials

    def replace_credential(self, request: UpstreamRequest, status: int, rest_s: float | None) -> bool | None:
        value = None if self._rotation is None else request.headers.get(self._service.key_header)
        if self._rotation is None or value is None or value not in self._rotation.values:
            return None
        return self._rotation.refuse(value, status, rest_s)

    def credential_mark(self, request: UpstreamRequest) -> str:
        value = None if self._rotation is None else request.headers.get(self._service.key_header)
        return "" if self._rotation is None or value is None else self._rotation.mark_of(value)

    def credentials_rest_s(self) -> float:
        return super().credentials_rest_s() if self._rotation is None else self._rotation.rest_s()

    def _forwards_credential(self, request: ClientRequest) -> bool:
        """Return whether the client's credential is forwarded, instead of our own."""
        return self._credential is None or (self._auth == "passthrough" and self._offers_credential(request))

    def _offers_credential(self, request: ClientRequest) -> bool:
        names, query = self._service.query_credentials, request.query
        return offers_credential(request.headers) or bool(names and without_fields(query, names) != query)

    def _complete(self, headers: Headers, *, own: bool, credential: str = "") -> None:
        if own and self._credential is not None:
            name, value = self._credential
            headers.add(name, value if self._rotation is None else self._rotation.next(credential))
        for name, value in self._headers:
            headers.setdefault(name, value)

    def _with_query(self, path: str, query: str | None) -> str:
        """Join the query of `base_url` and the client's, byte for byte."""
        if self._query:
            query = f"{self._query}&{query}" if query else self._query
        return path if query is None else f"{path}?{query}"


def _secrets_in(query: str) -> list[str]:
    """Return the values in the query of a base_url, which may be keys; Azure's version is not one."""
    return [value for name, value in parse_qsl(query) if name != "api-version"]
