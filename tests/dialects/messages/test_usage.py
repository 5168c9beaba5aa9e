"""The usage object of messages, read and written."""

from __future__ import annotations

from llmproxy.dialects.messages.usage import decode_usage, encode_usage
from llmproxy.dialects.usage import Usage, UsageDetails


def usage(**members: object) -> Usage | None:
    return decode_usage(members)


def test_the_input_is_the_sum_of_fresh_and_cached_tokens() -> None:
    cached = {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}
    assert usage(input_tokens=3, output_tokens=4, **cached) == Usage(
        input=123, output=4, cache_read=100, cache_write=20
    )
    assert usage(input_tokens=3, cache_read_input_tokens=None) == Usage(input=3)
    assert usage(**cached) == Usage(cache_read=100, cache_write=20)


def test_thinking_is_part_of_the_output() -> None:
    details = {"thinking_tokens": 6}
    assert usage(output_tokens=9, output_tokens_details=details) == Usage(output=9, reasoning=6)


def test_the_counts_of_a_stream_grow() -> None:
    before = Usage(input=123, output=1, cache_read=100, cache_write=20)
    after = Usage(input=123, output=9, cache_read=100, cache_write=20)
    assert decode_usage({"output_tokens": 9}, before) == after
    assert decode_usage("no object", before) is before


def test_unknown_counts_are_written_as_0() -> None:
    assert encode_usage(None) == {"input_tokens": 0, "output_tokens": 0}
    whole = Usage(input=123, output=4, cache_read=100, cache_write=20, reasoning=2)
    assert decode_usage(encode_usage(whole)) == whole


def test_hours_of_cache_searches_and_the_tier_decide_the_price() -> None:
    start = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 7},
        "service_tier": "standard",
    }
    usage = decode_usage({"output_tokens": 3, "server_tool_use": {"web_search_requests": 2}}, decode_usage(start))
    details = UsageDetails(cache_write_1h=7, web_search=2)
    assert usage == Usage(input=14, output=3, cache_write=9, details=details)
    assert decode_usage({"input_tokens": 1, "service_tier": "batch"}) == Usage(
        input=1, details=UsageDetails(tier="batch")
    )
    assert decode_usage({"speed": "fast", "service_tier": "standard"}) == Usage(details=UsageDetails(tier="fast"))
    assert decode_usage({"inference_geo": "us"}) == Usage(details=UsageDetails(tier="us"))
    assert decode_usage({"speed": "standard", "inference_geo": "global"}) == Usage()
