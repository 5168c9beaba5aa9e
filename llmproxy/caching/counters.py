"""Counters of the cache since the start of the process."""

from __future__ import annotations

from llmproxy.caching.entry import CacheEntry
from llmproxy.metrics.sample import Sample
from llmproxy.metrics.stats_merge import hit_rate

_METRICS = {
    "hits": "Requests that were answered from the cache or from a running call.",
    "misses": "Requests whose answer was not in the cache.",
    "bypasses": "Requests that did not use the cache.",
    "shared": "Requests that shared the call of another request.",
    "stored": "Answers that were stored in the cache.",
}


class CacheCounters:
    """Counts hits, misses and savings. Answers without usage add no tokens and no cost."""

    def __init__(self) -> None:
        self.hits = self.misses = self.bypasses = self.shared = self.stored = 0
        self.input_tokens = self.output_tokens = 0
        self.spent_s = self.cost_usd = 0.0

    def hit(self, entry: CacheEntry) -> None:
        """Count an answer from the cache."""
        self.hits += 1
        self.input_tokens += entry.input_tokens or 0
        self.output_tokens += entry.output_tokens or 0
        self.spent_s += entry.spent_s
        self.cost_usd += entry.cost_usd or 0.0

    def share(self) -> None:
        """Count a request that shares a running call."""
        self.hits += 1
        self.shared += 1

    def stats(self) -> dict[str, object]:
        """Return the counters for pages and commands."""
        return {
            **{name: getattr(self, name) for name in _METRICS},
            "hit_rate": hit_rate(self.hits, self.misses),
            "saved": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "seconds": round(self.spent_s, 3),
                "cost_usd": round(self.cost_usd, 10),
            },
        }

    def metrics(self) -> list[Sample]:
        """Return the counters for Prometheus."""
        saved = (
            ("saved_input_tokens", "Input tokens that were not paid again.", float(self.input_tokens)),
            ("saved_output_tokens", "Output tokens that were not paid again.", float(self.output_tokens)),
            ("saved_seconds", "Time that providers did not need again.", self.spent_s),
            ("saved_cost_usd", "Known cost in USD that was not paid again.", self.cost_usd),
        )
        counts = [(name, text, float(getattr(self, name))) for name, text in _METRICS.items()]
        return [
            Sample(name=f"llmproxy_cache_{name}", help=text, counter=True, value=value)
            for name, text, value in (*counts, *saved)
        ]
