"""Vertex AI: Gemini, Claude and other makers' models in a project of Google Cloud.

Requests carry tokens of `google_credentials.py`, or an API key. The project and the location are ours, whatever a
client's path says. Sources: cloud.google.com/vertex-ai/docs/reference/rest, the class AnthropicVertex and google-genai.
Begin reading at `Vertex`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field, PrivateAttr, model_validator

from llmproxy.answer import Headers
from llmproxy.client_request import ClientRequest
from llmproxy.dialects import catalog
from llmproxy.errors import UpstreamError
from llmproxy.providers.base import COMPATIBLE_OPTIONS, HttpProvider, Service
from llmproxy.providers.google_credentials import GoogleCredentials
from llmproxy.providers.google_retry import with_retry_after
from llmproxy.providers.refreshed_token import RefreshedToken, Token
from llmproxy.providers.refreshing import RefreshingProvider
from llmproxy.providers.service import GOOGLE_KEY, GOOGLE_QUERY, VERTEX_SWITCHES, Values, switched_to_vertex
from llmproxy.settings import ExistingFile
from llmproxy.target import Target, UpstreamRequest

_HOST = "aiplatform.googleapis.com"
_PROJECT = "GOOGLE_CLOUD_PROJECT"
_LOCATION = "GOOGLE_CLOUD_LOCATION"
_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_PROJECT_ID = r"^[A-Za-z0-9.:_-]+$"
_TOKEN = "ya29."
_SEVERAL_REGIONS = ("us", "eu")
_GEMINI = frozenset({"gemini"})
_CLAUDE = frozenset({"messages"})
_OPENAI = frozenset({"chat"})
# The one that google-genai calls; other SDKs call v1.
_VERSIONS = {"gemini": "v1beta1"}
_PATH = re.compile(
    r"(?:/(?P<version>v1(?:beta1)?)(?=/))?(?P<scope>/projects/[^/]+/locations/[^/]+(?=[/:]))?(?P<rest>.*)",
    re.DOTALL,
)
_VERSION_AT_END = re.compile(r"/v1(?:beta1)?$")


def _uses_variable(name: str, value_of: Values) -> bool:
    """Take a key where google-genai does: with its switch, and without a project, which calls by other credentials."""
    if name == GOOGLE_KEY:
        return switched_to_vertex(value_of) and not value_of(_PROJECT)
    return name not in VERTEX_SWITCHES or switched_to_vertex(value_of)


class Vertex(RefreshingProvider[Token]):
    """Models at Vertex AI. Names with a maker, such as `meta/llama-4`, are called in the form of OpenAI."""

    class Config(HttpProvider.Config):
        """The keys of a Vertex provider."""

        services: ClassVar[Mapping[str, Service]] = {
            "vertex": Service(
                origin=f"https://{_HOST}",
                speaks=_GEMINI | _CLAUDE | _OPENAI,
                by_model=(
                    ("claude", _CLAUDE),
                    ("google/", _GEMINI | _OPENAI),
                    ("endpoints/|[^/]*$", _GEMINI),
                    ("", _OPENAI),
                ),
                # As google-genai 3.6 asks for them (`_transformers.t_is_vertex_embed_content_model`).
                embeds=(
                    ("embedding.*maas", "vertex-single"),
                    ("gemini.*embedding", "vertex"),
                    ("embedding", "vertex-predict"),
                ),
                patterns=(
                    *("gemini-*", "claude-*", "imagen-*", "veo-*", "*-maas"),
                    *("text-embedding-0*", "text-multilingual-embedding-*"),
                ),
                key_header="x-goog-api-key",
                key_scheme="",
                query_credentials=GOOGLE_QUERY,
                options=replace(COMPATIBLE_OPTIONS, media_urls=False),
                usual=((_PROJECT, _FILE), (GOOGLE_KEY,), *((_PROJECT, switch) for switch in VERTEX_SWITCHES)),
                credentials=("credentials_file",),
                without_key="where Google's libraries look",
                variables={
                    "project": (_PROJECT,),
                    "location": (_LOCATION,),
                    "credentials_file": (_FILE,),
                    "api_key": (GOOGLE_KEY,),
                },
                uses_variable=_uses_variable,
            )
        }

        project: str | None = Field(
            default=None,
            pattern=_PROJECT_ID,
            examples=["my-project"],
            description="Project of Google Cloud; by default GOOGLE_CLOUD_PROJECT, or that of the credentials.",
        )
        location: str | None = Field(
            default=None,
            pattern=r"^[a-z0-9-]+$",
            examples=["europe-west4"],
            description="Such as europe-west4, us, eu or global; by default GOOGLE_CLOUD_LOCATION, else global.",
        )
        credentials_file: ExistingFile | None = Field(
            default=None,
            description="Credentials of Google Cloud: of a service account, a login, or a workload elsewhere. By "
            "default GOOGLE_APPLICATION_CREDENTIALS, those that gcloud stores, or those of the machine.",
        )

        _project_of_file: str | None = PrivateAttr(default=None)

        @property
        def project_of_file(self) -> str | None:
            """Return the project that `credentials_file` names, if any."""
            return self._project_of_file

        @property
        def used_location(self) -> str:
            """Return the location that is called."""
            return self.location or os.environ.get(_LOCATION, "").strip() or "global"

        def address(self) -> str:
            return self.base_url or f"https://{_host(self.used_location)}"

        @model_validator(mode="after")
        def _read_project(self) -> Vertex.Config:
            self._project_of_file = _project_in(self.credentials_file)
            return self

        @model_validator(mode="after")
        def _one_credential(self) -> Vertex.Config:
            if self.api_key and self.credentials_file:
                raise ValueError("has several credentials: api_key, credentials_file; keep one")
            return self

    def __init__(self, config: Config) -> None:
        self._location = config.used_location
        super().__init__(config.model_copy(update={"base_url": config.address()}))
        self._form = "vertex"
        self._base = _VERSION_AT_END.sub("", self._base)
        self._project = config.project or os.environ.get(_PROJECT, "").strip() or config.project_of_file
        self._source = GoogleCredentials(config.credentials_file)
        if self._credential is None:
            self._token = RefreshedToken(config.name, self._source.fetch)
            self.forwards_credentials = config.auth == "passthrough"
        self._express = self._credential is not None and config.project is None

    def has_path(self, path: str) -> bool:
        return catalog.below_project(path)

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        prepared = super().prepare(request, target)
        prepared.adapt = with_retry_after(prepared.adapt)
        return prepared

    def list_models(self, request: ClientRequest | None) -> UpstreamRequest | None:  # type: ignore[override]
        """Return nothing: there is a list for each maker of models, and none of those that a project may call."""
        return None

    def _header_of_key(self, key: str) -> tuple[str, str]:
        """Return where a client's key stands, or a token of Google's, which no header for keys takes."""
        return ("Authorization", f"Bearer {key}") if key.startswith(_TOKEN) else super()._header_of_key(key)

    def _complete(self, headers: Headers, *, own: bool, credential: str = "") -> None:
        super()._complete(headers, own=own, credential=credential)
        if own and self._source.quota_project is not None:
            headers["x-goog-user-project"] = self._source.quota_project

    def _path_for(self, request: ClientRequest, path: str) -> str:
        """Put our project and location in the place of the client's; the version stays."""
        if request.endpoint is not None and request.endpoint.socket is not None:
            return self._base + path  # its messages name project and location
        match = _PATH.fullmatch(path)
        assert match is not None, "any path matches"
        endpoint, scope, rest = request.endpoint, match["scope"] or "", match["rest"]
        version = match["version"] or ("v1" if endpoint is None else _VERSIONS.get(endpoint.capability, "v1"))
        rest = rest.replace("/publishers/endpoints/models/", "/endpoints/", 1)  # models that a project has tuned
        if self._express:
            scope = ""
        elif scope or (endpoint is not None and endpoint.model):
            scope = self._scope(scope)
        return f"{self._base}/{version}{scope}{rest}"

    def _scope(self, clients: str) -> str:
        """Return the path of the project and location; the client's, where neither we nor the credentials know one."""
        project = self._project or self._source.project
        if project is not None:
            return f"/projects/{project}/locations/{self._location}"
        if not clients:
            message = f"The project of Google Cloud is unknown. Set `project` of the provider {self.name!r}"
            raise UpstreamError(message, code="no_project")
        return clients


def _project_in(file: str | None) -> str | None:
    """Return the project that a file with credentials names; None where it names none. Raises ValueError for one that
    is not JSON."""
    try:
        project = None if file is None else json.loads(Path(file).read_bytes())["project_id"]
    except (OSError, LookupError, TypeError):
        return None
    except ValueError as error:
        remedy = "download the key of the service account again, or run `gcloud auth application-default login`"
        raise ValueError(f"the credentials_file {file!r} is not JSON; {remedy}") from error
    return project if isinstance(project, str) and re.fullmatch(_PROJECT_ID, project) else None


def _host(location: str) -> str:
    if location == "global":
        return _HOST
    return f"aiplatform.{location}.rep.googleapis.com" if location in _SEVERAL_REGIONS else f"{location}-{_HOST}"
