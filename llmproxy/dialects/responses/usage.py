"""The object `usage` of a response. Source: the SDK's `response_usage` type."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from llmproxy.dialects.lenient_json import Fields, Other, count, fields_of, written_tokens
from llmproxy.dialects.usage import Usage, UsageDetails
from llmproxy.dialects.usage_details import details_of


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
    cost: Any = None


class Searches(NamedTuple):
    """Counts the searches of the provider's own tools in an answer, as they are charged."""

    web: int = 0
    files: int = 0


NO_SEARCHES = Searches()


class _Action(Fields):
    type: Any = None


class OutputItem(Fields):
    """The members of an output item that decide its price."""

    type: Any = None
    action: _Action | Other = None


def count_searches(output: object) -> Searches:
    """Return the searches in the member `output` of a response, whose items are `OutputItem` or decoded JSON. Opening a
    page and searching in one is free (the guide on web search)."""
    web = files = 0
    for item in output if isinstance(output, list) else ():
        item = fields_of(OutputItem, item)
        if item is None:
            continue
        if item.type == "web_search_call":
            action = item.action.type if isinstance(item.action, _Action) else None
            web += action in (None, "search")
        elif item.type == "file_search_call":
            files += 1
    return Searches(web, files) if web or files else NO_SEARCHES


def decode_usage(value: object, tier: object = None, searches: Searches = NO_SEARCHES) -> Usage | None:
    """Return the tokens in a member `usage`, which is `UsageFields` or decoded JSON; None when it is no object.

    `tier` is the service tier that the response names.
    """
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
        details=_details(usage.cost, tier, searches),
    )


def _details(cost: object, tier: object, searches: Searches) -> UsageDetails | msgspec.UnsetType:
    if cost is None and searches is NO_SEARCHES and (tier is None or tier == "default"):
        return msgspec.UNSET
    return details_of(tier=tier, web_search=searches.web, file_search=searches.files, cost_usd=cost)


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
