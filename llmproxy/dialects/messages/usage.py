"""The object `usage` of a message or of an event. Source: the SDK's `usage` and `message_delta_usage` types."""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.lenient_json import Fields, Other, count, fields_of
from llmproxy.dialects.usage import Usage, UsageDetails
from llmproxy.dialects.usage_details import details_of, merged


class _Details(Fields):
    thinking_tokens: Any = None


class _CacheCreation(Fields):
    ephemeral_1h_input_tokens: Any = None


class _ServerTools(Fields):
    web_search_requests: Any = None


class UsageFields(Fields):
    """The object `usage`."""

    input_tokens: Any = None
    output_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    output_tokens_details: _Details | Other = None
    cache_creation: _CacheCreation | Other = None
    server_tool_use: _ServerTools | Other = None
    service_tier: Any = None
    speed: Any = None
    inference_geo: Any = None


# Where the model runs is no tier, but has a price of its own (platform.claude.com/docs/en/about-claude/pricing).
_ANYWHERE = (None, "global", "not_available")
_NO_USAGE = Usage()


def decode_usage(value: object, before: Usage | None = None) -> Usage | None:
    """Return the tokens in a member `usage`, which is `UsageFields` or decoded JSON; `before` when it is no object.

    What the object leaves out stays as in `before`, since the counts of a stream grow. `input_tokens` leaves out what
    was read from the cache and written to it; our `input` is the sum.
    """
    usage = fields_of(UsageFields, value)
    if usage is None:
        return before
    before = before or _NO_USAGE
    fresh = count(usage.input_tokens)
    if fresh is None and before.input is not None:
        fresh = before.input - (before.cache_read or 0) - (before.cache_write or 0)
    cache_read = _newer(usage.cache_read_input_tokens, before.cache_read)
    cache_write = _newer(usage.cache_creation_input_tokens, before.cache_write)
    details = usage.output_tokens_details
    return Usage(
        input=None if fresh is None else fresh + (cache_read or 0) + (cache_write or 0),
        output=_newer(usage.output_tokens, before.output),
        cache_read=cache_read,
        cache_write=cache_write,
        reasoning=_newer(details.thinking_tokens if isinstance(details, _Details) else None, before.reasoning),
        details=merged(before.details, _details(usage)),
    )


def _details(usage: UsageFields) -> UsageDetails | msgspec.UnsetType:
    cache, tools = usage.cache_creation, usage.server_tool_use
    hour = cache.ephemeral_1h_input_tokens if isinstance(cache, _CacheCreation) else None
    searches = tools.web_search_requests if isinstance(tools, _ServerTools) else None
    tier = usage.service_tier
    if usage.inference_geo not in _ANYWHERE:
        tier = usage.inference_geo
    elif usage.speed == "fast":
        tier = "fast"
    if not (hour or searches or (tier is not None and tier != "standard")):
        return msgspec.UNSET
    return details_of(tier=tier, cache_write_1h=hour, web_search=searches)


def _newer(tokens: object, before: int | None) -> int | None:
    now = count(tokens)
    return before if now is None else now


def encode_usage(usage: Usage | None) -> dict[str, Any]:
    """Return the member `usage`. The SDK demands numbers: unknown ones are 0."""
    usage = usage or _NO_USAGE
    cached = (usage.cache_read or 0) + (usage.cache_write or 0)
    written: dict[str, Any] = {"input_tokens": max((usage.input or 0) - cached, 0)}
    if usage.cache_write is not None:
        written["cache_creation_input_tokens"] = usage.cache_write
        hour = None if usage.details is msgspec.UNSET else usage.details.cache_write_1h
        if hour:
            short = max(usage.cache_write - hour, 0)
            written["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}
    if usage.cache_read is not None:
        written["cache_read_input_tokens"] = usage.cache_read
    written["output_tokens"] = usage.output or 0
    if usage.reasoning is not None:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return written
