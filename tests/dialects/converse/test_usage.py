"""The tokens in `usage`."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.converse.usage import decode_usage, encode_usage
from llmproxy.dialects.usage import Usage, UsageDetails

CACHED = {"inputTokens": 16, "outputTokens": 281, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 2772}


def test_cached_tokens_are_part_of_the_input_and_of_the_total() -> None:
    usage = decode_usage({**CACHED, "totalTokens": 3169})
    assert usage == Usage(input=2888, output=281, cache_read=100, cache_write=2772)
    assert encode_usage(usage) == {**CACHED, "totalTokens": 3169}


def test_unknown_tokens_are_none_and_zeros_for_the_sdk() -> None:
    assert decode_usage({"outputTokens": 3}) == Usage(output=3)
    assert encode_usage(None) == {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}


@pytest.mark.parametrize("value", [None, 5, "x", [], {"inputTokens": "many"}, {"inputTokens": -1}])
def test_what_is_no_number_of_tokens_is_unknown(value: Any) -> None:
    assert decode_usage(value) in (None, Usage())


def test_hours_of_cache_and_the_tier_decide_the_price() -> None:
    counts = {"inputTokens": 1, "cacheDetails": [{"ttl": "5m", "inputTokens": 2}, {"ttl": "1h", "inputTokens": 7}, 3]}
    expected = UsageDetails(tier="priority", cache_write_1h=7)
    assert decode_usage(counts, {"type": "priority"}) == Usage(input=1, details=expected)
    assert decode_usage({"inputTokens": 1, "cacheDetails": []}, {"type": "default"}) == Usage(input=1)
