"""The object `usage` of a response. Source: the SDK's `response_usage` type."""

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

    input_tokens: Any = None
    output_tokens: Any = None
    input_tokens_details: _Details | Other = None
    output_tokens_details: _Details | Other = None


def decode_usage(value: object) -> Usage | None:
    """Return the tokens in a member `usage`, given as `UsageFields` or as decoded JSON; None when it is no object."""
    usage = fields_of(UsageFields, value)
    if usage is None:
        return None
    inputs, outputs = usage.input_tokens_details, usage.output_tokens_details
    tokens_in, read, written = count(usage.input_tokens), None, None
    if isinstance(inputs, _Details):
        read = count(inputs.cached_tokens)
        written = written_tokens(inputs.cache_write_tokens, tokens_in, read)
    return Usage(
        input=tokens_in,
        output=count(usage.output_tokens),
        cache_read=read,
        cache_write=written,
        reasoning=count(outputs.reasoning_tokens) if isinstance(outputs, _Details) else None,
    )


def encode_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Return the member `usage`; None when the counts are unknown. Typed clients demand numbers in the details."""
    if usage is None or usage.input is None or usage.output is None:
        return None
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.input + usage.output,
    }
