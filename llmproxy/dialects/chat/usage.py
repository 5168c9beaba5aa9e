"""The object `usage` of chat completions, in whole answers and in chunks.

Source: the SDK's `completion_usage` type. Some services name cached tokens `prompt_cache_hit_tokens`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.lenient_json import Fields, Other, count, fields_of, written_tokens
from llmproxy.dialects.usage import Usage, UsageDetails
from llmproxy.dialects.usage_details import details_of


class _Details(Fields):
    cached_tokens: Any = None
    cache_write_tokens: Any = None
    reasoning_tokens: Any = None
    audio_tokens: Any = None
    image_tokens: Any = None


class UsageFields(Fields):
    """The object `usage`."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None
    prompt_cache_hit_tokens: Any = None
    prompt_tokens_details: _Details | Other = None
    completion_tokens_details: _Details | Other = None
    cost: Any = None
    num_search_queries: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    input_tokens_details: _Details | Other = None
    output_tokens_details: _Details | Other = None

    def as_chat(self) -> UsageFields:
        """Return the counts of a picture under the names of a chat, as OpenAI has two sets of them."""
        if self.prompt_tokens is not None or self.input_tokens is None:
            return self
        return UsageFields(
            prompt_tokens=self.input_tokens,
            completion_tokens=self.output_tokens,
            prompt_tokens_details=self.input_tokens_details,
            completion_tokens_details=self.output_tokens_details,
        )


_NO_DETAILS = _Details()


def decode_usage(value: object, tier: object = None) -> Usage | None:
    """Return the tokens in a member `usage`, which is `UsageFields` or decoded JSON; None when it is no object.

    `tier` is the service tier that the answer names. OpenRouter and Perplexity add the `cost`. Prompt tokens include
    cached ones. Where the total shows that reasoning was counted beside the completion, the output is the sum of both.
    """
    usage = fields_of(UsageFields, value)
    if usage is None:
        return None
    if usage.prompt_tokens is None:
        usage = usage.as_chat()
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
        details=_details(usage, prompt, completion, tier),
    )


def _details(
    usage: UsageFields, prompt: _Details | Other, completion: _Details | Other, tier: object
) -> UsageDetails | msgspec.UnsetType:
    input_ = prompt if isinstance(prompt, _Details) else _NO_DETAILS
    output = completion if isinstance(completion, _Details) else _NO_DETAILS
    if not (
        (tier is not None and tier != "default")
        or input_.audio_tokens
        or input_.image_tokens
        or output.audio_tokens
        or output.image_tokens
        or usage.cost is not None
        or usage.num_search_queries
    ):
        return msgspec.UNSET
    return details_of(
        tier=tier,
        input_audio=input_.audio_tokens,
        output_audio=output.audio_tokens,
        input_image=input_.image_tokens,
        output_image=output.image_tokens,
        web_search=usage.num_search_queries,
        cost_usd=usage.cost,
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
