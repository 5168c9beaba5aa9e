"""The object `usageMetadata` of an answer or a chunk. Source: `GenerateContentResponseUsageMetadata`."""

from __future__ import annotations

from llmproxy.dialects.lenient_json import count
from llmproxy.dialects.model import Usage


def decode_usage(value: object) -> Usage | None:
    """Return the tokens in a member `usageMetadata`; None when there are none.

    `promptTokenCount` includes what was read from a cache, not what tools brought in; thoughts stand beside the
    candidates. JSON of protocol buffers leaves zeros out: what the total leaves for the answer is known then.
    """
    if not isinstance(value, dict) or not value:
        return None
    prompt, total = count(value.get("promptTokenCount")), count(value.get("totalTokenCount"))
    tools, thoughts = count(value.get("toolUsePromptTokenCount")), count(value.get("thoughtsTokenCount"))
    answer = count(value.get("candidatesTokenCount"))
    given = prompt if tools is None else (prompt or 0) + tools
    if answer is None and total is not None and given is not None:
        output: int | None = max(total - given, 0)
    else:
        output = thoughts if answer is None else answer + (thoughts or 0)
    return Usage(
        input=given,
        output=output,
        cache_read=count(value.get("cachedContentTokenCount")),
        reasoning=thoughts,
    )


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
