"""The usage object of responses, read and written."""

from __future__ import annotations

from llmproxy.dialects.responses.usage import count_searches, decode_usage, encode_usage
from llmproxy.dialects.usage import Usage, UsageDetails


def test_what_was_written_to_the_cache_is_counted() -> None:
    details = {"cached_tokens": 2, "cache_write_tokens": 3}
    read = decode_usage({"input_tokens": 9, "output_tokens": 1, "input_tokens_details": details})
    assert read == Usage(input=9, output=1, cache_read=2, cache_write=3)
    assert decode_usage({"input_tokens": 9, "output_tokens_details": 3}) == Usage(input=9)


def test_details_are_written_as_numbers() -> None:
    written = encode_usage(Usage(input=9, output=1, reasoning=1))
    assert written is not None and written["total_tokens"] == 10
    assert written["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert encode_usage(None) is encode_usage(Usage(input=3)) is None


def test_what_was_written_to_the_cache_is_not_counted_twice() -> None:
    details = {"cached_tokens": 2161, "cache_write_tokens": 2161}
    usage = decode_usage({"input_tokens": 2168, "input_tokens_details": details})
    assert usage is not None and (usage.cache_read, usage.cache_write) == (2161, 7)


def test_searches_and_the_tier_decide_the_price() -> None:
    search = {"type": "web_search_call", "action": {"type": "search"}}
    opened = {"type": "web_search_call", "action": {"type": "open_page"}}
    output = [search, search, opened, {"type": "file_search_call"}, 7]
    searches = count_searches(output)
    assert searches == (2, 1)
    assert count_searches(None) == (0, 0)
    assert decode_usage({"input_tokens": 1}, "priority", searches) == Usage(
        input=1, details=UsageDetails(tier="priority", web_search=2, file_search=1)
    )
    assert decode_usage({"input_tokens": 1}, "default") == Usage(input=1)
