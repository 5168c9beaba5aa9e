"""The base classes of providers and of their configuration, and the provider that relays over HTTP.

A provider type is data: a `Service` row has its address, its dialects and the header of its key. This module adds and
removes credentials. Begin reading at `HttpProvider.prepare`, which is on the hot path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import parse_qsl

from llmproxy.access.credentials import Credentials, query_credentials
from llmproxy.access.path_traversal import check_path
from llmproxy.access.presented_keys import drop_protocol_key
from llmproxy.answer import Headers
from llmproxy.body import Body
from llmproxy.client_request import ClientRequest
from llmproxy.dialects import catalog
from llmproxy.dialects.call_form import without_fields
from llmproxy.dialects.socket_calls import without_deployment
from llmproxy.providers.address import join, root_below, split_base_url
from llmproxy.providers.call_answers import adapter
from llmproxy.providers.call_forms import form_named, reform
from llmproxy.providers.forwarding import forward, forward_query, forwarded_credentials, offers_credential
from llmproxy.providers.key_rotation import KeyRotation
from llmproxy.providers.provider_config import HttpProviderConfig
from llmproxy.providers.provider_config import ProviderConfig as ProviderConfig
from llmproxy.providers.service import COMPATIBLE_OPTIONS as COMPATIBLE_OPTIONS
from llmproxy.providers.service import Service as Service
from llmproxy.target import Origin, Provider, Target, Timeouts, UpstreamRequest, is_pattern


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


class HttpProvider(ConfiguredProvider):
    """A provider that gets the client's request over HTTP.

    Subclasses list the rows of their types in `Config.services`.
    """

    class Config(HttpProviderConfig):
        """The keys of every provider with an HTTP address."""

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
