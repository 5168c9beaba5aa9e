"""The object `usageMetadata` of an answer or a chunk. Source: `GenerateContentResponseUsageMetadata`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.lenient_json import count, object_of, objects, string
from llmproxy.dialects.usage import Usage
from llmproxy.dialects.usage_details import details_of

# The words of Vertex for what was used; other words are the tier itself.
_TIERS = {
    "ON_DEMAND": None,
    "TRAFFIC_TYPE_UNSPECIFIED": None,
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
}
_DETAILS = {
    "promptTokensDetails": "input",
    "candidatesTokensDetails": "output",
    "responseTokensDetails": "output",
    "cacheTokensDetails": "cache_read",
}
_KINDS = {"AUDIO": "audio", "IMAGE": "image", "DOCUMENT": "image", "VIDEO": "video"}
# Up to version 2 a grounded answer has a price, from 3 on each of its queries (ai.google.dev/gemini-api/docs/pricing).
_GROUNDED_ANSWER = re.compile(r"gemini-[12]\b").search


def decode_usage(answer: Mapping[str, Any]) -> Usage | None:
    """Return the tokens in the member `usageMetadata` of an answer or a chunk; None when there are none.

    `promptTokenCount` includes what was read from a cache, not what tools brought in; thoughts stand beside the
    candidates, which the Live API calls a response. JSON of protocol buffers leaves zeros out: what the total leaves
    for the answer is known then.
    """
    value = answer.get("usageMetadata")
    if not isinstance(value, dict) or not value:
        return None
    prompt, total = count(value.get("promptTokenCount")), count(value.get("totalTokenCount"))
    tools, thoughts = count(value.get("toolUsePromptTokenCount")), count(value.get("thoughtsTokenCount"))
    candidates = count(value.get("candidatesTokenCount", value.get("responseTokenCount")))
    input_tokens = prompt if tools is None else (prompt or 0) + tools
    if candidates is None and total is not None and input_tokens is not None:
        output: int | None = max(total - input_tokens, 0)
    else:
        output = thoughts if candidates is None else candidates + (thoughts or 0)
    return Usage(
        input=input_tokens,
        output=output,
        cache_read=count(value.get("cachedContentTokenCount")),
        reasoning=thoughts,
        details=details_of(tier=_tier(value), web_search=count_searches(answer), **_modalities(value)),
    )


def _tier(metadata: Mapping[str, Any]) -> object:
    traffic = metadata.get("trafficType")
    return _TIERS.get(traffic, traffic) if isinstance(traffic, str) else metadata.get("serviceTier")


def _modalities(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Return the tokens that are no text, by the names of `UsageDetails`. Cached video has no price of its own."""
    tokens: dict[str, int] = {}
    for member, side in _DETAILS.items():
        for each in objects(metadata.get(member)):
            kind = _KINDS.get(str(each.get("modality")))
            if kind is not None and (side, kind) != ("cache_read", "video"):
                name = f"{side}_{kind}"
                tokens[name] = tokens.get(name, 0) + (count(each.get("tokenCount")) or 0)
    return tokens


def count_searches(answer: Mapping[str, Any]) -> int:
    """Return how many searches with Google an answer is charged for."""
    queries = 0
    for candidate in objects(answer.get("candidates")):
        names = object_of(candidate.get("groundingMetadata")).get("webSearchQueries")
        queries += len(names) if isinstance(names, list) else 0
    model = string(answer.get("modelVersion")) or ""
    return min(queries, 1) if _GROUNDED_ANSWER(model) else queries


def encode_usage(usage: Usage) -> dict[str, int]:
    """Return the member `usageMetadata`, without what is unknown, and as the vendor without what is none."""
    answer = None if usage.output is None else max(usage.output - (usage.reasoning or 0), 0)
    counts = {
        "promptTokenCount": usage.input,
        "cachedContentTokenCount": usage.cache_read or None,
        "candidatesTokenCount": answer,
        "thoughtsTokenCount": usage.reasoning or None,
        "totalTokenCount": None if usage.input is None or usage.output is None else usage.input + usage.output,
    }
    return {name: tokens for name, tokens in counts.items() if tokens is not None}
