from __future__ import annotations

from llmproxy.recognition.session_stats import merge_session_stats, session_samples

FIGURES = {
    "active": 3,
    "created": 2,
    "creation_rate_per_minute": 1.5,
    "hits": 6,
    "misses": 2,
    "hit_rate": 0.75,
    "fuzzy_matches": 1,
    "resets": 0,
    "expired": 4,
    "evicted": 0,
}


def test_what_workers_did_is_added_up_and_what_they_share_is_not() -> None:
    other = {**FIGURES, "created": 0, "misses": 0, "hits": 2, "active": 4}
    merged = merge_session_stats([FIGURES, other])
    assert (merged["created"], merged["hits"], merged["hit_rate"]) == (2, 8, 0.8)
    assert (merged["active"], merged["expired"]) == (4, 4)
    across = {each.name: each.across for each in session_samples(FIGURES)}
    assert across["llmproxy_sessions_active"] == "max" and across["llmproxy_sessions_hits"] == "sum"
