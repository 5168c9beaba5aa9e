"""Counts of hits, misses and what they saved, as people and as Prometheus see them."""

from __future__ import annotations

from llmproxy.caching.counters import CacheCounters
from tests.caching.test_entry import entry


def test_hits_save_what_the_answers_cost() -> None:
    counters = CacheCounters()
    counters.misses += 1
    counters.hit(entry(input_tokens=10, output_tokens=4, spent_s=2.0, cost_usd=0.25))
    counters.hit(entry(input_tokens=None, output_tokens=None, spent_s=0.5))
    output = counters.stats()
    assert (output["hits"], output["misses"], output["shared"]) == (2, 1, 0)
    assert output["hit_rate"] == 0.666667
    assert output["saved"] == {"input_tokens": 10, "output_tokens": 4, "seconds": 2.5, "cost_usd": 0.25}


def test_one_call_for_two_is_a_hit_that_is_shared() -> None:
    counters = CacheCounters()
    counters.share()
    assert (counters.stats()["hits"], counters.stats()["shared"]) == (1, 1)


def test_before_any_request_there_is_no_rate() -> None:
    assert CacheCounters().stats()["hit_rate"] is None


def test_each_count_is_a_counter_that_only_grows() -> None:
    counters = CacheCounters()
    counters.hit(entry(input_tokens=7, output_tokens=8, spent_s=0.5))
    counters.stored, counters.bypasses = 2, 3
    output = {figure.name: figure.value for figure in counters.metrics() if figure.counter and figure.help}
    assert output == {
        "llmproxy_cache_hits": 1,
        "llmproxy_cache_misses": 0,
        "llmproxy_cache_bypasses": 3,
        "llmproxy_cache_shared": 0,
        "llmproxy_cache_stored": 2,
        "llmproxy_cache_saved_input_tokens": 7,
        "llmproxy_cache_saved_output_tokens": 8,
        "llmproxy_cache_saved_seconds": 0.5,
        "llmproxy_cache_saved_cost_usd": 0.0,
    }
