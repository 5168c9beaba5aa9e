"""The names of OpenTelemetry's conventions for generative AI: the older and the latest ones, in one table.

They are still "in development" and move (open-telemetry/semantic-conventions-genai). `older` is what semantic
conventions 1.36 and most tools know; OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental asks for the latest.
"""

from __future__ import annotations

from typing import Literal

Names = Literal["older", "latest"]
LATEST_OPT_IN = "gen_ai_latest_experimental"

# What we say, its older name and its latest one; "" where a set has no such name.
_TABLE: dict[str, tuple[str, str]] = {
    # attributes
    "provider": ("gen_ai.system", "gen_ai.provider.name"),
    "operation": ("gen_ai.operation.name", "gen_ai.operation.name"),
    "request_model": ("gen_ai.request.model", "gen_ai.request.model"),
    "response_model": ("gen_ai.response.model", "gen_ai.response.model"),
    "conversation": ("gen_ai.conversation.id", "gen_ai.conversation.id"),
    "finish_reasons": ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reasons"),
    "stream": ("", "gen_ai.request.stream"),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.input_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.output_tokens"),
    "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read.input_tokens"),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    "reasoning_tokens": ("", "gen_ai.usage.reasoning.output_tokens"),
    "time_to_first_chunk": ("", "gen_ai.response.time_to_first_chunk"),
    "input_content": ("gen_ai.prompt", "gen_ai.input.messages"),
    "output_content": ("gen_ai.completion", "gen_ai.output.messages"),
    "token_type": ("gen_ai.token.type", ""),
    # metrics
    "duration_metric": ("gen_ai.client.operation.duration", "gen_ai.client.inference.duration"),
    "token_metric": ("gen_ai.client.token.usage", ""),
    "input_metric": ("", "gen_ai.client.inference.operation.input_tokens"),
    "output_metric": ("", "gen_ai.client.inference.operation.output_tokens"),
    "first_chunk_metric": ("", "gen_ai.client.inference.time_to_first_chunk"),
    "input_counter": ("", "gen_ai.client.inference.usage.input_tokens"),
    "output_counter": ("", "gen_ai.client.inference.usage.output_tokens"),
    "cache_read_counter": ("", "gen_ai.client.inference.usage.cache_read.input_tokens"),
    "cache_write_counter": ("", "gen_ai.client.inference.usage.cache_write.input_tokens"),
    "reasoning_counter": ("", "gen_ai.client.inference.usage.reasoning.output_tokens"),
}

# Types of providers with another name in the conventions than here.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
# What a call does, by the end of its path; everything else that names a model is `chat`.
_OPERATIONS = (
    ("/embeddings", "embeddings"),
    ("EmbedContents", "embeddings"),
    ("embedContent", "embeddings"),
    ("/chat/completions", "chat"),
    ("/completions", "text_completion"),
    ("enerateContent", "generate_content"),
    ("_tokens", "count_tokens"),
    ("countTokens", "count_tokens"),
)


def names_of(chosen: Names) -> dict[str, str]:
    """Return the names of one set by what they say; those that it lacks are left out."""
    column = 1 if chosen == "latest" else 0
    return {meaning: pair[column] for meaning, pair in _TABLE.items() if pair[column]}


def provider_name(type_: str) -> str:
    """Return what the conventions call a type of provider."""
    return _PROVIDERS.get(type_, type_)


def operation_name(template: str) -> str:
    """Return what the conventions call a call, by the template of its path."""
    return next((name for end, name in _OPERATIONS if template.endswith(end)), "chat")
