"""Which names mean a model of a table, and which do not."""

from __future__ import annotations

import pytest

from llmproxy.pricing.price import PriceRow, Rates
from llmproxy.pricing.price_names import PriceNames, cleaned

NAMES = {
    "exact": ["gpt-4o", "anthropic/claude-x", "accounts/fireworks/models/kimi"],
    "older": ["gpt-4o-2024-05-13"],
    "dated": ["gpt-6-sol@"],
    "versioned": ["claude-haiku-4-5*", "claude-sonnet-4-2025*", "ft:gpt-4o-mini-2024-*"],
    "opus": ["claude-opus-5*"],
    "regional": ["*us.anthropic.claude-opus-5*", "*amazon.nova-lite*"],
    "end": ["*global.anthropic.claude-fable-5"],
}
ROWS = {name: PriceRow(names=names, prices=Rates(input=1.0)) for name, names in NAMES.items()}
TABLE = PriceNames(ROWS.values())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gpt-4o", "exact"),
        ("GPT-4o", "exact"),
        ("gpt-4o-2024-05-13", "older"),
        ("models/gpt-4o", "exact"),
        ("publishers/openai/models/gpt-4o", "exact"),
        ("gpt-6-sol-2026-10-01", "dated"),
        ("claude-haiku-4-5-20251001", "versioned"),
        ("claude-haiku-4-5@20251001", "versioned"),
        ("claude-haiku-4-5-latest", "versioned"),
        ("claude-sonnet-4-20250514", "versioned"),
        ("ft:gpt-4o-mini-2024-07-18:org::abc", "versioned"),
        ("us.anthropic.claude-opus-5-20260101-v1:0", "regional"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-5-v1:0", "regional"),
        ("eu.amazon.nova-lite-v1:0", "regional"),
        ("global.anthropic.claude-fable-5", "end"),
    ],
)
def test_dates_versions_regions_and_paths_do_not_change_a_model(name: str, found: str) -> None:
    assert TABLE.find(name) is ROWS[found]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "gpt-4o-mini",
            "gpt-4o-2027-01-01",
            "gpt-6-sol-latest",
            "gpt-6-sol-mini",
            "claude-haiku-4",
            "claude-haiku-4-55",
        ),
        *("claude-opus-5-5", "claude-opus-50", "eu.anthropic.claude-opus-5-v1:0", "my-gpt-4o", "nova-lite"),
        *("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123", "claude-x", "kimi", "", "-" * 5000),
        *("ft:gpt-4o:org::abc", "global.anthropic.claude-fable-5-v2"),
    ],
)
def test_a_name_that_is_not_quite_one_of_the_table_is_unknown(name: str) -> None:
    assert TABLE.find(name) is None


def test_a_fine_tuned_model_is_named_without_its_owner() -> None:
    assert cleaned("ft:gpt-4o-2024-08-06:acme:x:1") == "ft:gpt-4o-2024-08-06"
    assert cleaned("gpt-4o-mini-2024-07-18.ft-0123") == "gpt-4o-mini-2024-07-18.ft-"
