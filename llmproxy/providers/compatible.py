"""OpenAI-compatible services: a row each, and nothing but rows.

The dialects of a service are those that its documentation lists at one root. Where they differ by version (self-hosted
services) or have changed, set `dialects:` in the configuration. Sources: each service's page on OpenAI and Anthropic
compatibility.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from llmproxy.providers.base import COMPATIBLE_OPTIONS, HttpProvider, Service

_PLAIN = frozenset({"chat", "completions", "embeddings"})
_EVERYTHING = _PLAIN | {"responses", "messages", "openai"}

# They accept images in base64 only.
_NO_URLS = replace(COMPATIBLE_OPTIONS, media_urls=False)
_PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})
# They refuse thinking in a history, in fields other than these: "property 'reasoning_content' is unsupported" (GitHub
# issues janhq/jan 8136 and karthink/gptel 774 for Groq, egoist/chatwise-releases 1442 for Cerebras).
# "reasoning_effort must be one of none or default" for qwen (GitHub issue earendil-works/pi 1745), which thinks by
# default; the newest one has more. Groq refuses logprobs, biases and names (console.groq.com/docs/openai), and no model
# has penalties (groq 1.7, `completion_create_params`).
_GROQ = replace(
    COMPATIBLE_OPTIONS,
    chat_thinking=frozenset(),
    strict_members=True,
    chat_refuses=(("", _PENALTIES | {"logprobs", "top_logprobs", "logit_bias", "name"}),),
    tiers={
        "auto": "auto",
        "default": "on_demand",
        "standard_only": "on_demand",
        "flex": "flex",
        "priority": "performance",
    },
    efforts=(
        ("gpt-oss", ("low", "medium", "high")),
        (r"qwen3\.(?:[89]|\d\d)", ("none", "low", "medium", "high")),
        ("qwen", ("none",)),
        ("", ()),
    ),
)
_CEREBRAS = replace(COMPATIBLE_OPTIONS, chat_thinking=frozenset({"reasoning"}))
# "Extra inputs are not permitted": `user` (michelle-avery/openai-compatible-conversation 26), `store`
# (Gitlawb/openclaude 739), thinking in a history (charmbracelet/crush 1590), `stream_options`
# (openai/openai-agents-python 442), `seed` (langchain-ai/langchain-azure 82). The members, the names of the seed and of
# the tiers, and the parts of messages: mistralai 3.7, `chatcompletionrequest` and `contentchunk`.
# Efforts by model: docs.mistral.ai/capabilities/reasoning.
_MISTRAL = replace(
    COMPATIBLE_OPTIONS,
    short_call_ids=True,
    chat_knobs=frozenset({"metadata", "prompt_cache_key", "service_tier"}),
    chat_thinking=frozenset(),
    strict_members=True,
    chat_refuses=(("", frozenset({"logit_bias", "name", "stream_options"})),),
    seed_name="random_seed",
    tiers={"auto": "auto", "default": "standard_only", "standard_only": "standard_only"},
    document_url=True,
    video=False,
    efforts=(
        ("glm", ("low", "high", "max")),
        ("mistral-(?:small|medium|large-4|vibe|code-agent)|devstral", ("none", "high")),
        ("", ()),
    ),
)
# It passes on what the service behind it knows, and leaves out the rest (openrouter.ai/docs/api-reference/parameters).
_OPENROUTER = replace(COMPATIBLE_OPTIONS, chat_knobs=None)
# Efforts and the switch: api-docs.deepseek.com/guides/thinking_mode. The switch and an effort exclude each other
# (farion1231/cc-switch 4239), and so do thinking and a forced tool (deepseek-ai/DeepSeek-V3 1376). "This
# response_format type is unavailable now": JSON of a schema (llm-exe/llm-exe 662).
_DEEPSEEK = replace(
    COMPATIBLE_OPTIONS,
    efforts=(("", ("none", "low", "high", "max")),),
    thinking_switch=True,
    structured_output="tool",
)
# docs.x.ai/developers/model-capabilities/text/reasoning; which models take an effort: NousResearch/hermes-agent 23435
# and mnfst/modelparams.dev 330; the penalties, also at models that do not reason: miaoxworld/NativeTavern 83.
_XAI = replace(
    COMPATIBLE_OPTIONS,
    chat_refuses=((r"non-reasoning|grok-(?:2|3(?!-mini))", _PENALTIES), ("", _PENALTIES | {"stop"})),
    efforts=(
        ("grok-3-mini", ("low", "high")),
        (r"grok-4\.20-multi-agent|grok-4\.6", ("low", "medium", "high", "xhigh")),
        (r"grok-4\.3", ("none", "low", "medium", "high")),
        (r"grok-4\.5", ("low", "medium", "high")),
        (r"grok-(?:[23]|4(?!\.[4-9])|code)", ()),
    ),
)


class Compatible(HttpProvider):
    """A service that speaks chat, and often more, with a bearer key or none."""

    class Config(HttpProvider.Config):
        """The keys of an OpenAI-compatible service."""

        services: ClassVar[Mapping[str, Service]] = {
            "openai-compatible": Service(
                origin=None,
                speaks=_PLAIN | {"openai"},
                key_env="OPENAI_COMPAT_API_KEY",
                base_url_env="OPENAI_COMPAT_BASE_URL",
            ),
            # On the user's machine. Their other APIs are beside /v1.
            # Ollama has had `/v1/messages` since 0.14 (docs.ollama.com/api/anthropic-compatibility).
            "ollama": Service(
                origin="http://localhost:11434",
                beside=frozenset({"api"}),
                speaks=_EVERYTHING,
                options=_NO_URLS,
            ),
            "lmstudio": Service(
                origin="http://localhost:1234",
                beside=frozenset({"api"}),
                speaks=_PLAIN | {"responses", "messages"},
                options=_NO_URLS,
            ),
            "localai": Service(origin="http://localhost:8080", speaks=_EVERYTHING),
            "llamacpp": Service(
                origin="http://localhost:8080",
                beside=frozenset({"health", "infill", "metrics", "props", "slots", "tokenize", "detokenize"}),
                speaks=_PLAIN | {"responses", "messages"},
            ),
            "vllm": Service(
                origin="http://localhost:8000",
                beside=frozenset({"health", "metrics", "tokenize", "detokenize", "pooling", "score"}),
                speaks=_EVERYTHING,
            ),
            # Hosted.
            "groq": Service(
                origin="https://api.groq.com",
                root="/openai/v1",
                beside=frozenset({"openai"}),
                speaks=frozenset({"chat", "responses", "openai"}),
                options=_GROQ,
                key_env="GROQ_API_KEY",
            ),
            "mistral": Service(
                origin="https://api.mistral.ai",
                speaks=frozenset({"chat", "embeddings", "openai"}),
                options=_MISTRAL,
                key_env="MISTRAL_API_KEY",
            ),
            "deepseek": Service(
                origin="https://api.deepseek.com",
                roots={"messages": "/anthropic/v1"},
                beside=frozenset({"anthropic", "beta", "user"}),
                speaks=frozenset({"chat", "messages"}),
                key_env="DEEPSEEK_API_KEY",
                options=_DEEPSEEK,
            ),
            "together": Service(
                origin="https://api.together.ai", speaks=_PLAIN | {"openai"}, key_env="TOGETHER_API_KEY"
            ),
            "fireworks": Service(
                origin="https://api.fireworks.ai",
                root="/inference/v1",
                beside=frozenset({"inference"}),
                speaks=_PLAIN | {"responses", "messages"},
                key_env="FIREWORKS_API_KEY",
            ),
            "openrouter": Service(
                origin="https://openrouter.ai",
                root="/api/v1",
                beside=frozenset({"api"}),
                speaks=_PLAIN | {"responses", "messages"},
                options=_OPENROUTER,
                key_env="OPENROUTER_API_KEY",
            ),
            "xai": Service(
                other_names=("grok", "x-ai"),
                origin="https://api.x.ai",
                speaks=frozenset({"chat", "responses", "completions", "openai"}),
                options=_XAI,
                key_env="XAI_API_KEY",
            ),
            "cerebras": Service(
                origin="https://api.cerebras.ai",
                speaks=frozenset({"chat", "completions"}),
                options=_CEREBRAS,
                key_env="CEREBRAS_API_KEY",
            ),
            # Its chat is at the origin itself, unlike its other paths.
            "perplexity": Service(
                origin="https://api.perplexity.ai",
                roots={"chat": ""},
                speaks=frozenset({"chat", "responses", "embeddings"}),
                key_env="PERPLEXITY_API_KEY",
            ),
        }
