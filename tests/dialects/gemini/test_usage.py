"""Tokens as Google counts them."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.gemini.usage import decode_usage, encode_usage
from llmproxy.dialects.model import Usage


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
    assert decode_usage(counts) == usage


def test_they_are_written_back() -> None:
    counts = {"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 7}
    assert encode_usage(Usage(input=9, output=12, cache_read=4, reasoning=7)) == {**counts, "totalTokenCount": 21}
    assert encode_usage(Usage(input=9, cache_read=0, reasoning=0)) == {"promptTokenCount": 9}
    assert encode_usage(Usage()) == {}
