"""Anthropic, and services that imitate it at another `base_url`. Facts from docs.anthropic.com/en/api."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from llmproxy.dialects.encode_context import Options
from llmproxy.providers.base import HttpProvider, Service


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
