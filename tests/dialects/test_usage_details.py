"""What of an answer decides its price beside its tokens."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from llmproxy.dialects.usage import UsageDetails
from llmproxy.dialects.usage_details import amount, details_of, merged, tier_of


@pytest.mark.parametrize(
    ("word", "tier"),
    [("default", None), ("standard", None), ("on_demand", None), (None, None), (7, None), ("", None), ("Flex", "flex")],
)
def test_the_standard_tier_has_no_name(word: object, tier: str | None) -> None:
    assert tier_of(word) == tier


def test_details_are_made_only_for_what_is_more_than_nothing() -> None:
    assert details_of(tier="default", web_search=0, input_audio=None, cost_usd="1") is UNSET
    assert details_of(web_search=2, input_audio="9", cost_usd=0) == UsageDetails(web_search=2, cost_usd=0.0)


@pytest.mark.parametrize("value", [True, -0.1, "1", None, float("nan"), float("inf"), {"total": 1}, []])
def test_what_is_no_price_is_unknown(value: Any) -> None:
    assert amount(value) is None


def test_later_details_of_a_stream_add_to_the_earlier_ones() -> None:
    first = UsageDetails(tier="fast", cache_write_1h=3)
    assert merged(first, UsageDetails(web_search=1)) == UsageDetails(tier="fast", cache_write_1h=3, web_search=1)
    assert merged(first, UNSET) is first and merged(UNSET, first) is first
