"""The usage object of chat completions, read and written."""

from __future__ import annotations

import pytest

from llmproxy.dialects.chat.usage import decode_usage, encode_usage
from llmproxy.dialects.usage import Usage, UsageDetails


def usage(**members: object) -> Usage | None:
    return decode_usage(members)


def test_cached_tokens_are_part_of_the_input() -> None:
    details = {"cached_tokens": 8, "cache_write_tokens": 3}
    assert usage(prompt_tokens=11, prompt_tokens_details=details) == Usage(input=11, cache_read=8, cache_write=3)
    assert usage(prompt_tokens=10, prompt_cache_hit_tokens=6) == Usage(input=10, cache_read=6)
    assert usage(prompt_tokens_details=None, prompt_cache_hit_tokens=6) == Usage(cache_read=6)


def test_reasoning_that_was_counted_beside_the_completion_is_part_of_the_output() -> None:
    details = {"reasoning_tokens": 92}
    beside = usage(prompt_tokens=32, completion_tokens=9, total_tokens=133, completion_tokens_details=details)
    within = usage(prompt_tokens=32, completion_tokens=101, total_tokens=133, completion_tokens_details=details)
    assert beside == within == Usage(input=32, output=101, reasoning=92)


def test_what_is_missing_is_unknown() -> None:
    assert usage(prompt_tokens=1) == Usage(input=1)
    assert usage(prompt_tokens=-1, completion_tokens="3", prompt_tokens_details=7) == Usage()
    assert decode_usage(None) is decode_usage([1]) is None


def test_usage_is_written_with_the_details_that_are_known() -> None:
    assert encode_usage(Usage(input=3, output=4)) == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    whole = Usage(input=30, output=4, cache_read=8, cache_write=3, reasoning=2)
    assert decode_usage(encode_usage(whole)) == whole


def test_usage_without_its_counts_is_not_written() -> None:
    assert encode_usage(None) is encode_usage(Usage(input=3)) is None


def test_what_was_written_to_the_cache_is_not_counted_twice() -> None:
    details = {"cached_tokens": 2161, "cache_write_tokens": 2161}
    usage = decode_usage({"prompt_tokens": 2168, "prompt_tokens_details": details})
    assert usage is not None and (usage.cache_read, usage.cache_write) == (2161, 7)


def test_the_tier_media_searches_and_the_cost_decide_the_price() -> None:
    counts = {
        "prompt_tokens_details": {"audio_tokens": 3, "image_tokens": 0},
        "completion_tokens_details": {"audio_tokens": 2},
        "cost": 0.0125,
        "num_search_queries": 4,
    }
    expected = UsageDetails(tier="flex", input_audio=3, output_audio=2, web_search=4, cost_usd=0.0125)
    assert decode_usage(counts, "flex") == Usage(details=expected)
    assert decode_usage({"cost": {"total_cost": 0.5}}) == Usage(details=UsageDetails(cost_usd=0.5))


@pytest.mark.parametrize("tier", [None, "default", "auto", "on_demand", 7])
def test_an_answer_of_the_standard_tier_has_no_details(tier: object) -> None:
    assert decode_usage({"prompt_tokens": 1, "cost": -1}, tier) == Usage(input=1)


def test_the_usage_of_a_picture_has_names_of_its_own() -> None:
    counts = {"input_tokens": 30, "output_tokens": 9, "input_tokens_details": {"text_tokens": 10, "image_tokens": 20}}
    assert decode_usage(counts) == Usage(input=30, output=9, details=UsageDetails(input_image=20))
