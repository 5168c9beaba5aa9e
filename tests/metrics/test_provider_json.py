from __future__ import annotations

from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.provider_json import providers_json
from tests.metrics.test_counters import ended, figures, recorded


def test_the_json_form_says_null_where_nothing_is_known() -> None:
    assert providers_json(Metrics(), ["openai"]) == {
        "openai": {
            "total_requests": 0,
            "success_rate": None,
            "avg_response_time": None,
            "avg_first_byte_time": None,
            "avg_first_token_time": None,
            "cancelled": 0,
            "error_counts": {},
            "tokens": {"input": None, "output": None, "cache_read": None, "cache_write": None, "reasoning": None},
            "usage_unknown": 0,
            "cost_usd": None,
            "cost_unknown": 0,
        }
    }


def test_the_success_rate_leaves_out_what_clients_cancelled() -> None:
    metrics = recorded(ended(), ended(), ended(), ended(status=429), ended(outcome="cancelled", ended_s=900.0))

    shown = figures(metrics)
    assert shown["total_requests"] == 5
    assert shown["success_rate"] == 0.75
    assert shown["cancelled"] == 1
    assert shown["avg_response_time"] == 0.25
    assert shown["error_counts"] == {"http_429": 1}


def test_the_json_form_lists_configured_providers_first_and_those_of_the_past_too() -> None:
    assert list(providers_json(recorded(ended()), ["zeta", "alpha"])) == ["zeta", "alpha", "openai"]
