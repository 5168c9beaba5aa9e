"""Anthropic, and services that imitate it at another `base_url`. Facts from docs.anthropic.com/en/api.

A message batch names the address of its results, which its SDK calls: at Anthropic itself, without the key that only
the proxy has. Clients get the address here instead. Begin reading at `Anthropic.prepare`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

from llmproxy.answer import Answer
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.encode_context import Options
from llmproxy.providers.base import HttpProvider, Service
from llmproxy.target import Target, UpstreamRequest

_BATCHES, _RESULTS = "/messages/batches", "/results"
_RESULTS_URL = re.compile(rb'("results_url"\s*:\s*")https?://[^/"]+(?=/)')
_MOST_BYTES = 4 * 1024 * 1024  # of a list of batches: 1,000 of them have 700 KB


class Anthropic(HttpProvider):
    """The Messages API.

    Its base_url usually ends before `/v1`, even with a path (`https://api.example.com/anthropic`): so does
    ANTHROPIC_BASE_URL, and so do the documentations of services with this API.
    """

    class Config(HttpProvider.Config):
        """The keys of an Anthropic provider."""

        services: ClassVar[Mapping[str, Service]] = {
            "anthropic": Service(
                origin="https://api.anthropic.com",
                root_always=True,
                speaks=frozenset({"messages"}),
                patterns=("claude-*",),
                key_env="ANTHROPIC_API_KEY",
                base_url_env="ANTHROPIC_BASE_URL",
                key_header="x-api-key",
                key_scheme="",
                # Required on every call; https://docs.anthropic.com/en/api/versioning
                headers=(("anthropic-version", "2023-06-01"),),
                options=Options(),
                models_query="limit=1000",
            )
        }

    def prepare(self, request: ClientRequest, target: Target) -> UpstreamRequest:
        prepared = super().prepare(request, target)
        endpoint = request.endpoint
        if endpoint is not None and endpoint.path.startswith(_BATCHES) and not endpoint.path.endswith(_RESULTS):
            prepared.headers["Accept-Encoding"] = "identity"
            prepared.adapt = _with_results_here(f"{request.own_url}/{self.name}")
        return prepared


def _with_results_here(url: str) -> Callable[[Answer], Awaitable[Answer]]:
    """Return what puts `url` in the place of the origin of the results in an answer about batches."""

    async def adapted(answer: Answer) -> Answer:
        if answer.status != 200 or "Content-Encoding" in answer.headers:
            return answer
        while answer.stream is not None and len(answer.body) < _MOST_BYTES:
            data = await answer.stream.read()
            answer.body += data
            if not data:
                answer.stream.close()
                answer.stream = None
        before = len(answer.body)
        answer.body = _RESULTS_URL.sub(lambda match: match[1] + url.encode(), answer.body)
        if answer.length is not None:
            answer.length += len(answer.body) - before
            answer.headers.popall("Content-Length", None)
        return answer

    return adapted
