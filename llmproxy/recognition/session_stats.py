"""Write what pages show of sessions: statistics of one process or of several together, and a row for each session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmproxy.metrics.sample import Sample
from llmproxy.metrics.stats_merge import hit_rate, sum_stats
from llmproxy.stores.sessions import Session
from llmproxy.wire.timestamp import format_timestamp

_METRICS = (
    ("active", "Sessions that are not over.", False),
    ("created", "Sessions begun.", True),
    ("hits", "Requests that continued a session.", True),
    ("misses", "Requests that began a session.", True),
    ("fuzzy_matches", "Requests that were recognised by their words.", True),
    ("expired", "Sessions that were not used for too long.", True),
    ("evicted", "Sessions that were pushed out by newer ones.", True),
)
# The statistics of the store, which all workers share; the others are of one process.
_OF_THE_STORE = ("active", "expired", "evicted")


def session_samples(stats: Mapping[str, object]) -> list[Sample]:
    """Return the statistics of a process for Prometheus."""
    return [
        Sample(
            name=f"llmproxy_sessions_{name}",
            help=text,
            counter=counter,
            value=value,
            across="max" if name in _OF_THE_STORE else "sum",
        )
        for name, text, counter in _METRICS
        if isinstance(value := stats[name], (int, float))
    ]


def merge_session_stats(parts: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Return the statistics of several workers as one."""
    sums = sum_stats(parts)
    shared = {name: max(part[name] for part in parts) for name in _OF_THE_STORE}
    return {**sums, **shared, "hit_rate": hit_rate(sums["hits"], sums["misses"])}


def session_row(session: Session) -> dict[str, object]:
    """Return one session as JSON."""
    return {
        "id": session.id,
        "client": session.client,
        "started": format_timestamp(session.started_s),
        "last_seen": format_timestamp(session.seen_s),
        "requests": session.requests,
        "errors": session.errors,
        "models": list(session.models),
        "tokens": {
            "input": session.input_tokens,
            "output": session.output_tokens,
            "cache_read": session.cached_tokens,
        },
        "cost_usd": round(session.cost_usd, 10),
        "cost_unknown": session.cost_unknown,
    }
