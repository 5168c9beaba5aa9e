from __future__ import annotations

from llmproxy.metrics.stats_merge import hit_rate, sum_stats


def test_numbers_are_added_up_within_objects_too_and_the_rest_is_of_the_first() -> None:
    one = {"hits": 1, "saved": {"seconds": 0.5}, "store": "memory", "available": True, "bytes": None, "fault": None}
    other = {"hits": 2, "saved": {"seconds": 1.5}, "store": "disk", "available": False, "bytes": 7, "fault": "full"}
    assert sum_stats([one, other]) == {
        "hits": 3,
        "saved": {"seconds": 2.0},
        "store": "memory",
        "available": True,
        "bytes": 7,
        "fault": "full",
    }
    assert sum_stats([one]) == one and one["hits"] == 1


def test_a_rate_of_nothing_is_unknown() -> None:
    assert (hit_rate(0, 0), hit_rate(1, 2)) == (None, 0.333333)
