"""Anthropic, and what stands in for it at another `base_url`. Facts from docs.anthropic.com/en/api."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from llmproxy.providers.base import HttpProvider, Service


class Anthropic(HttpProvider):
    """The Messages API.

    By custom its base_url stops before `/v1` also where it has a path (`https://api.example.com/anthropic`): that is
    what ANTHROPIC_BASE_URL holds, and what the services that offer this API write in their documentation.
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
                models_query="limit=1000",
            )
        }
