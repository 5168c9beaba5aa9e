"""OpenAI, and services that imitate it at another `base_url`. Facts from platform.openai.com/docs/api-reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from llmproxy.dialects.encode_context import Options
from llmproxy.providers.base import HttpProvider, Service

_SOCKETS = "responses-websocket"
_OWN_HOSTS = ".api.openai.com"  # regions have names below it, such as eu.api.openai.com


class OpenAI(HttpProvider):
    """The whole of OpenAI's API; everything that is neither chat nor responses is relayed as `openai`."""

    class Config(HttpProvider.Config):
        """The keys of an OpenAI provider."""

        services: ClassVar[Mapping[str, Service]] = {
            "openai": Service(
                origin="https://api.openai.com",
                speaks=frozenset({"chat", "responses", "completions", "embeddings", "openai", _SOCKETS}),
                patterns=(
                    "gpt-*",
                    "o[0-9]*",
                    "chatgpt-*",
                    "text-embedding-*",
                    "codex-*",
                    "computer-use-*",
                    "ft:*",
                    "dall-e-*",
                    "sora-*",
                    "tts-*",
                    "whisper-*",
                    "omni-moderation-*",
                    "text-moderation-*",
                    "davinci-*",
                    "babbage-*",
                ),
                options=Options(custom_tools=True, video=False, cache_breakpoints=True),
                key_env="OPENAI_API_KEY",
                base_url_env="OPENAI_BASE_URL",
            )
        }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # Only responses keeps reasoning between tool calls; imitations of OpenAI elsewhere may not have it.
        itself = f".{self.origin.host}".rstrip(".").endswith(_OWN_HOSTS)
        self.options = replace(self.options, custom_tools=itself, video=not itself, cache_breakpoints=itself)
        if config.dialects is None and itself:
            self.translate_to = ("responses", "chat")
        elif config.dialects is None:
            self.speaks -= {_SOCKETS}  # imitations answer 404 or 405, after which clients try again
