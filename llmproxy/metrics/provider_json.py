"""The counters by provider as JSON, for `/metrics/json`. Begin reading at `providers_json`."""

from __future__ import annotations

from collections.abc import Iterable

from llmproxy.metrics.counters import CallCounters, CallLabels, Latency, LatencyLabels, Metrics
from llmproxy.metrics.histogram import Histogram
from llmproxy.metrics.tokens import sum_costs, sum_tokens


def providers_json(metrics: Metrics, providers: Iterable[str] = ()) -> dict[str, object]:
    """Return the counters by provider; `providers` are listed even before their first call.

    Times are in seconds. Unknown values are null: a success rate without calls, tokens that no answer reported.
    """
    calls, latencies = metrics.calls.copy(), metrics.latencies.copy()
    names = dict.fromkeys([*providers, *sorted({labels.provider for labels in calls})])
    return {name: _provider_json(name, calls, latencies) for name in names}


def _provider_json(
    provider: str, all_calls: dict[CallLabels, CallCounters], latencies: dict[LatencyLabels, Latency]
) -> dict[str, object]:
    """Return one provider's part of the JSON form. Cancelled calls are neither successes nor errors."""
    rows = [(labels, calls) for labels, calls in all_calls.items() if labels.provider == provider]
    total = sum(calls.count for _, calls in rows)
    cancelled = sum(calls.count for labels, calls in rows if labels.outcome == "cancelled")
    succeeded = sum(calls.count for labels, calls in rows if labels.outcome == "success")
    errors: dict[str, int] = {}
    for labels, calls in rows:
        if labels.kind:
            errors[labels.kind] = errors.get(labels.kind, 0) + calls.count
    times = [t for labels, t in latencies.items() if labels.provider == provider and labels.outcome != "cancelled"]
    return {
        "total_requests": total,
        "success_rate": round(succeeded / (total - cancelled), 6) if total > cancelled else None,
        "avg_response_time": _mean(latency.total for latency in times),
        "avg_first_byte_time": _mean(latency.first_byte for latency in times),
        "avg_first_token_time": _mean(latency.first_token for latency in times),
        "cancelled": cancelled,
        "error_counts": dict(sorted(errors.items())),
        "tokens": sum_tokens(calls for _, calls in rows),
        "usage_unknown": sum(calls.usage_unknown for _, calls in rows),
        **sum_costs(calls for _, calls in rows),
    }


def _mean(histograms: Iterable[Histogram]) -> float | None:
    parts = list(histograms)
    count = sum(sum(histogram.counts) for histogram in parts)
    return round(sum(histogram.sum_s for histogram in parts) / count, 6) if count else None
