"""Azure: OpenAI's models by deployment or below `/openai/v1`, and Claude at Foundry.

Sources: learn.microsoft.com/azure/ai-foundry/openai (api-version-lifecycle, reference), and the classes AzureOpenAI and
AnthropicFoundry of the vendors' SDKs. Begin reading at `Azure`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, model_validator

from llmproxy.answer import Headers
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.call_form import without_fields
from llmproxy.dialects.encode_context import Options
from llmproxy.dialects.socket_calls import model_in_query, with_model
from llmproxy.providers.address import root_below
from llmproxy.providers.base import HttpProvider, Service
from llmproxy.providers.entra import Entra
from llmproxy.providers.refreshed_token import RefreshedToken, Token
from llmproxy.providers.refreshing import RefreshingProvider
from llmproxy.target import Target, UpstreamRequest

_VERSION = frozenset({"api-version"})
_DEPLOYMENT = re.compile(r"(?P<base>.*?)(?:/openai)?/deployments/(?P<name>[^/]+)$")
_OF_DEPLOYMENT = re.compile(r"^/openai/deployments/[^/]+")
# Where clients in browsers have the key of a resource or of a gateway in front of it.
_QUERY = frozenset({"api-key", "subscription-key"})
_UNVERSIONED = re.compile("/openai/v1/|/anthropic/")
_OPENAI = frozenset({"chat", "responses", "completions", "embeddings", "openai"})
_CLAUDE = frozenset({"messages"})
_RESPONSES = frozenset({"responses"})
# "Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later" (Aider-AI/aider#4029).
_FIRST_WITH_RESPONSES = "2025-03-01"
_FOUNDRY = ".services.ai.azure.com"
_SCOPES = {True: "https://ai.azure.com/.default", False: "https://cognitiveservices.azure.com/.default"}


class Azure(RefreshingProvider[Token]):
    """Models of OpenAI and of Anthropic in a resource of Azure; models are the names of deployments."""

    class Config(HttpProvider.Config):
        """The keys of an Azure provider."""

        services: ClassVar[Mapping[str, Service]] = {
            "azure": Service(
                origin=None,
                root="/openai/v1",
                other_names=("azure-openai", "azure_openai"),
                roots={"messages": "/anthropic/v1"},
                beside=frozenset({"openai", "anthropic"}),
                speaks=_OPENAI | _CLAUDE,
                by_model=(("claude", _CLAUDE), ("", _OPENAI)),
                options=Options(custom_tools=True),
                key_env="AZURE_OPENAI_API_KEY",
                base_url_env="AZURE_OPENAI_ENDPOINT",
                key_header="api-key",
                key_scheme="",
                query_credentials=_QUERY,
                credentials=("token_command", "entra"),
                hosts=(_FOUNDRY, ".openai.azure.com", ".cognitiveservices.azure.com"),
                switches={"entra": "AZURE_OPENAI_AD_TOKEN"},
                variables={"api_version": ("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION")},
            )
        }

        api_version: str | None = Field(
            default=None,
            pattern=r"^[A-Za-z0-9.-]+$",
            examples=["2024-10-21"],
            description="`api-version` of the deployment URLs, such as 2024-10-21; without one `/openai/v1` is called, "
            "which has no versions.",
        )
        entra: bool = Field(
            default=False,
            description="Fetch tokens of Microsoft Entra, as the environment says: AZURE_OPENAI_AD_TOKEN, a client "
            "secret, a workload's federated token, or the managed identity of the machine.",
        )
        token_command: list[str] | None = Field(
            default=None,
            min_length=1,
            description="A command that prints a token of Microsoft Entra, or JSON as `az account get-access-token`.",
        )
        scope: str | None = Field(
            default=None, description="What tokens are asked for; by default Azure OpenAI's, or Foundry's at its hosts."
        )

        @model_validator(mode="after")
        def _one_credential(self) -> Azure.Config:
            credentials = {"api_key": self.api_key, "entra": self.entra, "token_command": self.token_command}
            names = [name for name, value in credentials.items() if value]
            if len(names) > 1:
                raise ValueError(f"has several credentials: {', '.join(names)}; keep one")
            return self

        @property
        def version(self) -> str | None:
            """Return the version of the deployment URLs: as it is set, or as the portal writes it behind that of a
            deployment. Behind others it is one of the API without deployments."""
            address = urlsplit(self.base_url or "")
            if self.api_version or not _DEPLOYMENT.match(address.path.rstrip("/")):
                return self.api_version
            return dict(parse_qsl(address.query)).get("api-version")

        @model_validator(mode="after")
        def _deployment_has_version(self) -> Azure.Config:
            path = urlsplit(self.base_url or "").path.rstrip("/")
            if _DEPLOYMENT.match(path) and self.version is None:
                raise ValueError("base_url is the address of a deployment, which needs `api_version`")
            return self

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._version = config.version
        self._deployment = ""
        if (deployment := _DEPLOYMENT.match(self._base)) is not None:
            self._query = without_fields(self._query, _VERSION) or ""
            self._base, self._deployment = deployment["base"], deployment["name"]
            self._root = root_below(self._base, self._service.root)
            self._roots = {name: root_below(self._base, root) for name, root in self._service.roots.items()}
        if config.dialects is None and self._version is not None and self._version < _FIRST_WITH_RESPONSES:
            self.speaks -= _RESPONSES
            self._by_model = tuple((beginning, names - _RESPONSES) for beginning, names in self._by_model)
        if self._version is not None:
            self._form = "azure"
            self._root = self._root.removesuffix("/v1") if self._root else "/openai"
        source = Entra(
            scope=config.scope or _SCOPES[self.origin.host.endswith(_FOUNDRY)],
            command=config.token_command,
        )
        if config.entra or config.token_command:
            self._token = RefreshedToken(config.name, source.fetch)
            self.forwards_credentials = config.auth == "passthrough"

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        prepared = super().prepare(request, target)
        endpoint = request.endpoint
        if endpoint is not None and endpoint.served_by(_CLAUDE):
            _complete_messages(prepared.headers)
        return prepared

    def _path_for(self, request: ClientRequest, path: str) -> str:
        """Call the deployment that `base_url` names, whatever the model."""
        if self._deployment:
            path = _OF_DEPLOYMENT.sub(f"/openai/deployments/{self._deployment}", path)
        return super()._path_for(request, path)

    def _socket_query(self, query: str) -> str:
        """Name the deployment where its URL has a version, else the model."""
        if self._version is None:
            return super()._socket_query(query)
        return with_model(query, self._deployment or model_in_query(query) or "", "deployment")

    def _with_query(self, path: str, query: str | None) -> str:
        """Add the version where the client has none of its own; paths that have one in them take no other."""
        if _UNVERSIONED.search(path):
            query = without_fields(query, _VERSION)
        elif self._version is not None and without_fields(query, _VERSION) == query:
            version = f"api-version={self._version}"
            query = f"{query}&{version}" if query else version
        return super()._with_query(path, query)


def _complete_messages(headers: Headers) -> None:
    """Add what Foundry expects of Anthropic's own headers."""
    headers.setdefault("anthropic-version", "2023-06-01")
    if "api-key" in headers:
        headers.setdefault("x-api-key", headers["api-key"])
