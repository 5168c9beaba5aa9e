"""The Gemini API of Google, with an API key. Facts from ai.google.dev/api and google-genai.

Clients of other APIs are translated. With `dialects: [chat, embeddings]` OpenAI's clients reach what Google has in that
form. Begin reading at `Gemini`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from llmproxy.answer import Answer
from llmproxy.body import Body, StreamedBody
from llmproxy.client_request import ClientRequest
from llmproxy.dialects import catalog
from llmproxy.dialects.encode_context import Options
from llmproxy.dialects.gemini.named_models import MARK, renamed_members
from llmproxy.providers.base import HttpProvider, Service
from llmproxy.providers.google_retry import is_invalid_key, read_error_body, with_retry_after
from llmproxy.providers.google_uploads import with_uploads_here
from llmproxy.providers.service import GOOGLE_KEY, GOOGLE_QUERY, Values, switched_to_vertex
from llmproxy.target import Target, UpstreamRequest
from llmproxy.wire.json import write_value

_GEMINI = "gemini"
_KEY = "x-goog-api-key"
_ROOT = "/v1beta"
_OPENAI_ROOT = f"{_ROOT}/openai"
_UPLOADS = "/upload/"
_VERSION_AT_END = re.compile(r"/v1(?:alpha|beta)?$")


def _uses_variable(name: str, value_of: Values) -> bool:
    return name != GOOGLE_KEY or not switched_to_vertex(value_of)


class Gemini(HttpProvider):
    """Google's models at the Gemini API."""

    class Config(HttpProvider.Config):
        """The keys of a Gemini provider."""

        services: ClassVar[Mapping[str, Service]] = {
            _GEMINI: Service(
                origin="https://generativelanguage.googleapis.com",
                root=_ROOT,
                roots={"chat": _OPENAI_ROOT, "embeddings": _OPENAI_ROOT},
                beside=frozenset({"upload", "download", "ws"}),
                speaks=frozenset({_GEMINI}),
                other_names=("google", "google-ai"),
                patterns=("gemini-*", "gemma-*", "imagen-*", "veo-*", "learnlm-*", "lyria-*"),
                key_env="GEMINI_API_KEY",
                base_url_env="GOOGLE_GEMINI_BASE_URL",
                key_header=_KEY,
                key_scheme="",
                query_credentials=GOOGLE_QUERY,
                options=Options(),
                embeds=(("", _GEMINI),),
                models_query="pageSize=1000",
                variables={"api_key": (GOOGLE_KEY, "GEMINI_API_KEY")},
                usual=((GOOGLE_KEY,),),
                uses_variable=_uses_variable,
            )
        }

    def __init__(self, config: Config) -> None:
        """Take a base_url with or without a version at its end, as google-genai's variable has it."""
        super().__init__(config)
        if not self._base.endswith("/openai"):
            self._base, self._root = _VERSION_AT_END.sub("", self._base), _ROOT
            self._roots = dict(self._service.roots)

    def has_path(self, path: str) -> bool:
        return not catalog.below_project(path)

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        prepared = super().prepare(request, target)
        prepared.adapt = with_retry_after(prepared.adapt)
        if request.path.startswith(_UPLOADS):
            prepared.adapt = with_uploads_here(prepared.adapt, request, f"{self.origin.url}{self._base}", self.name)
        endpoint = request.endpoint
        if endpoint is not None and endpoint.capability == _GEMINI and endpoint.path != endpoint.dialect.paths[0]:
            prepared.body = _with_model(prepared.body, endpoint.model_of(request.path))
        if endpoint is not None and endpoint.capability in self._roots and _KEY in prepared.headers:
            prepared.headers["Authorization"] = f"Bearer {prepared.headers.pop(_KEY)}"
        return prepared

    async def refuses_credential(self, answer: Answer) -> bool:
        return is_invalid_key(await read_error_body(answer))

    def _path_for(self, request: ClientRequest, path: str) -> str:
        """Keep the version of Google's own clients, which call v1; elsewhere `/v1` stands for the root."""
        own = request.endpoint is None or request.endpoint.capability not in self._roots
        if own and self._root and path.startswith("/v1/"):
            return self._base + path
        return super()._path_for(request, path)


def _with_model(body: Body | StreamedBody | None, model: str | None) -> Body | StreamedBody | None:
    """Return the body of a call that may name its model once more, with the one that its path has."""
    if model is None or not isinstance(body, Body) or MARK not in body.decoded:
        return body
    changed = renamed_members(body.content, model)
    if changed:
        body = body.copy()
        for name, value in changed.items():
            body.replace(name, write_value(value))
    return body
