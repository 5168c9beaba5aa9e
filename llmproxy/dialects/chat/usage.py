"""The object `usage` of chat completions, in whole answers and in chunks.

Source: the SDK's `completion_usage` type. Some services name cached tokens `prompt_cache_hit_tokens`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.lenient_json import Fields, Other, count, fields_of, written_tokens
from llmproxy.dialects.model import Usage


class _Details(Fields):
    cached_tokens: Any = None
    cache_write_tokens: Any = None
    reasoning_tokens: Any = None


class UsageFields(Fields):
    """The object `usage`."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None
    prompt_cache_hit_tokens: Any = None
    prompt_tokens_details: _Details | Other = None
    completion_tokens_details: _Details | Other = None


def decode_usage(value: object) -> Usage | None:
    """Return the tokens in a member `usage`, given as `UsageFields` or as decoded JSON; None when it is no object.

    Prompt tokens include cached ones. Where the total shows that reasoning was counted beside the completion, the
    output is the sum of both.
    """
    usage = fields_of(UsageFields, value)
    if usage is None:
        return None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    tokens_in, tokens_out = count(usage.prompt_tokens), count(usage.completion_tokens)
    cached = count(prompt.cached_tokens) if isinstance(prompt, _Details) else None
    reasoning = count(completion.reasoning_tokens) if isinstance(completion, _Details) else None
    if reasoning and tokens_in is not None and tokens_out is not None:
        beside = usage.total_tokens == tokens_in + tokens_out + reasoning
        tokens_out += reasoning if beside else 0
    cached = count(usage.prompt_cache_hit_tokens) if cached is None else cached
    written = prompt.cache_write_tokens if isinstance(prompt, _Details) else None
    return Usage(
        input=tokens_in,
        output=tokens_out,
        cache_read=cached,
        cache_write=written_tokens(written, tokens_in, cached),
        reasoning=reasoning,
    )


def encode_usage(usage: Usage | None) -> dict[str, object] | None:
    """Return the member `usage`; None when the counts that it must have are unknown."""
    if usage is None or usage.input is None or usage.output is None:
        return None
    counts: dict[str, object] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    cached = {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write}
    details = {name: tokens for name, tokens in cached.items() if tokens is not None}
    if details:
        counts["prompt_tokens_details"] = details
    if usage.reasoning is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return counts
