"""Read the price details of an answer beside its tokens: the service tier, searches, tokens of audio and images.

Most answers have nothing of it, so nothing is made for them. Begin reading at `details_of`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.lenient_json import count, string
from llmproxy.dialects.usage import UsageDetails

# The names of the standard tier: OpenAI, Anthropic, Groq, Gemini. An answer with `auto` does not say which it was.
_STANDARD_TIERS = frozenset({"default", "standard", "on_demand", "auto", "unspecified"})
_TIER_LENGTH = 40
_LARGEST_USD = 1e9


def tier_of(value: object) -> str | None:
    """Return the service tier in the words of the price table; None for the standard one."""
    if value is None or value in ("default", "standard"):  # the usual case
        return None
    tier = string(value)
    if tier is None:
        return None
    tier = tier.lower()[:_TIER_LENGTH]
    return None if tier in _STANDARD_TIERS else tier


def details_of(**values: object) -> UsageDetails | msgspec.UnsetType:
    """Return the details that are more than nothing: counts above 0, a `tier`, a `cost_usd`; UNSET without any."""
    known: dict[str, Any] = {}
    for name, value in values.items():
        if name == "tier":
            value = tier_of(value)
        elif name == "cost_usd":
            value = amount(value)
        else:
            value = count(value) or None
        if value is not None:
            known[name] = value
    return UsageDetails(**known) if known else msgspec.UNSET


def amount(value: object) -> float | None:
    """Return `value` when it can be a price in USD: a number, or an object with the sum (Perplexity)."""
    if isinstance(value, dict):
        value = value.get("total_cost")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LARGEST_USD:
        return None
    return float(value)


def merged(before: UsageDetails | msgspec.UnsetType, now: UsageDetails | msgspec.UnsetType) -> Any:
    """Return the details of a stream so far: what `now` leaves out stays as in `before`."""
    if before is msgspec.UNSET or now is msgspec.UNSET:
        return now if before is msgspec.UNSET else before
    changes = {name: value for name in now.__struct_fields__ if (value := getattr(now, name)) is not None}
    return msgspec.structs.replace(before, **changes)
