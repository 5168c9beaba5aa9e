"""Tokens as Google counts them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from llmproxy.dialects.gemini.usage import decode_usage, encode_usage
from llmproxy.dialects.usage import Usage, UsageDetails


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 7},
            Usage(input=9, output=12, cache_read=4, reasoning=7),
        ),
        ({"promptTokenCount": 9, "toolUsePromptTokenCount": 3, "candidatesTokenCount": 1}, Usage(input=12, output=1)),
        ({"promptTokenCount": 9, "totalTokenCount": 9}, Usage(input=9, output=0)),
        (
            {"promptTokenCount": 9, "thoughtsTokenCount": 2, "totalTokenCount": 11},
            Usage(input=9, output=2, reasoning=2),
        ),
        ({"promptTokenCount": 9}, Usage(input=9)),
        ({"promptTokenCount": "9", "candidatesTokenCount": -1}, Usage()),
        ({}, None),
        (None, None),
    ],
)
def test_counts_are_read(counts: Any, usage: Usage | None) -> None:
    assert decode_usage({"usageMetadata": counts}) == usage


def test_they_are_written_back() -> None:
    counts = {"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 7}
    assert encode_usage(Usage(input=9, output=12, cache_read=4, reasoning=7)) == {**counts, "totalTokenCount": 21}
    assert encode_usage(Usage(input=9, cache_read=0, reasoning=0)) == {"promptTokenCount": 9}
    assert encode_usage(Usage()) == {}


def details(answer: dict[str, Any]) -> object:
    usage = decode_usage({"modelVersion": "gemini-3-flash", **answer})
    return usage and usage.details


def test_tokens_of_media_the_tier_and_searches_decide_the_price() -> None:
    text = {"modality": "TEXT", "tokenCount": 4}
    counts = {
        "promptTokenCount": 20,
        "candidatesTokenCount": 9,
        "promptTokensDetails": [
            text,
            {"modality": "AUDIO", "tokenCount": 7},
            {"modality": "DOCUMENT", "tokenCount": 9},
        ],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 9}],
        "cacheTokensDetails": [text, {"modality": "AUDIO", "tokenCount": 3}, {"modality": "VIDEO", "tokenCount": 1}],
        "trafficType": "ON_DEMAND_FLEX",
    }
    grounded = [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}]
    expected = UsageDetails(tier="flex", input_audio=7, input_image=9, output_image=9, cache_read_audio=3)
    assert details({"usageMetadata": counts}) == expected
    assert details({"usageMetadata": {"promptTokenCount": 1}, "candidates": grounded}) == UsageDetails(web_search=2)
    assert details({"usageMetadata": {"promptTokenCount": 1, "serviceTier": "standard"}}) is UNSET


def test_up_to_version_2_a_grounded_answer_counts_once() -> None:
    grounded = [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}]
    answer = {"usageMetadata": {"promptTokenCount": 1}, "candidates": grounded, "modelVersion": "gemini-2.5-pro"}
    assert details(answer) == UsageDetails(web_search=1)
