"""The object `usage` of an answer. Source: the shape `TokenUsage`.

`inputTokens` leaves out what was read from the cache and written to it, as the examples of prompt caching in the
user guide of Bedrock show, whose `totalTokens` is the sum of all four; our `input` is the sum of three.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.lenient_json import Fields, NoList, Other, count, fields_of
from llmproxy.dialects.usage import Usage, UsageDetails
from llmproxy.dialects.usage_details import details_of


class _CacheDetail(Fields):
    ttl: Any = None
    inputTokens: Any = None


class UsageFields(Fields):
    """The object `usage`."""

    inputTokens: Any = None
    outputTokens: Any = None
    cacheReadInputTokens: Any = None
    cacheWriteInputTokens: Any = None
    cacheDetails: list[_CacheDetail | Other] | NoList = None


class TierFields(Fields):
    """The object `serviceTier` beside it."""

    type: Any = None


_NO_USAGE = Usage()


def decode_usage(value: object, tier: object = None) -> Usage | None:
    """Return the tokens in a member `usage`, which is `UsageFields` or decoded JSON; None when it is no object.

    `tier` is the member `serviceTier`, in the same forms.
    """
    usage = fields_of(UsageFields, value)
    if usage is None:
        return None
    fresh, cache_read = count(usage.inputTokens), count(usage.cacheReadInputTokens)
    cache_write = count(usage.cacheWriteInputTokens)
    return Usage(
        input=None if fresh is None else fresh + (cache_read or 0) + (cache_write or 0),
        output=count(usage.outputTokens),
        cache_read=cache_read,
        cache_write=cache_write,
        details=_details(usage.cacheDetails, tier),
    )


def _details(cached: object, tier: object) -> UsageDetails | msgspec.UnsetType:
    if not cached and tier is None:
        return msgspec.UNSET
    hours = [
        count(each.inputTokens) or 0
        for each in (cached if isinstance(cached, list) else ())
        if isinstance(each, _CacheDetail) and each.ttl == "1h"
    ]
    used = fields_of(TierFields, tier)
    return details_of(tier=None if used is None else used.type, cache_write_1h=sum(hours))


def encode_usage(usage: Usage | None) -> dict[str, Any]:
    """Return the member `usage`. The SDKs demand numbers: unknown ones are 0."""
    usage = usage or _NO_USAGE
    cached = (usage.cache_read or 0) + (usage.cache_write or 0)
    fresh, output = max((usage.input or 0) - cached, 0), usage.output or 0
    written: dict[str, Any] = {"inputTokens": fresh, "outputTokens": output, "totalTokens": fresh + cached + output}
    if usage.cache_read is not None:
        written["cacheReadInputTokens"] = usage.cache_read
    if usage.cache_write is not None:
        written["cacheWriteInputTokens"] = usage.cache_write
        hour = None if usage.details is msgspec.UNSET else usage.details.cache_write_1h
        if hour:
            parts = {"1h": hour, "5m": max(usage.cache_write - hour, 0)}
            written["cacheDetails"] = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in parts.items() if tokens]
    return written
