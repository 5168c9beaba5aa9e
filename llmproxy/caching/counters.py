"""What the cache did, counted since the start of the process."""

from __future__ import annotations

from llmproxy.caching.entry import CacheEntry
from llmproxy.metrics.sample import Sample

_METRICS = {
    "hits": "Requests that were answered from the cache or from a call under way.",
    "misses": "Requests whose answer was not in the cache.",
    "bypasses": "Requests that were not to be answered from the cache.",
    "shared": "Requests that were answered by the call of another.",
    "stored": "Answers that were put into the cache.",
}


class CacheCounters:
    """Counts. What a saved answer did not say of its tokens counts as nothing."""

    def __init__(self) -> None:
        self.hits = self.misses = self.bypasses = self.shared = self.stored = 0
        self.input_tokens = self.output_tokens = 0
        self.spent_s = 0.0

    def hit(self, entry: CacheEntry) -> None:
        """An answer was given again."""
        self.hits += 1
        self.input_tokens += entry.input_tokens or 0
        self.output_tokens += entry.output_tokens or 0
        self.spent_s += entry.spent_s

    def share(self) -> None:
        """A call answered one more."""
        self.hits += 1
        self.shared += 1

    def figures(self) -> dict[str, object]:
        """For people and programs."""
        asked = self.hits + self.misses
        return {
            **{name: getattr(self, name) for name in _METRICS},
            "hit_rate": round(self.hits / asked, 6) if asked else None,
            "saved": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "seconds": round(self.spent_s, 3),
            },
        }

    def metrics(self) -> list[Sample]:
        """For Prometheus."""
        saved = (
            ("saved_input_tokens", "Input tokens that were not paid again.", float(self.input_tokens)),
            ("saved_output_tokens", "Output tokens that were not paid again.", float(self.output_tokens)),
            ("saved_seconds", "Time that providers did not need again.", self.spent_s),
        )
        counts = [(name, text, float(getattr(self, name))) for name, text in _METRICS.items()]
        return [
            Sample(name=f"llmproxy_cache_{name}", help=text, counter=True, value=value)
            for name, text, value in (*counts, *saved)
        ]
