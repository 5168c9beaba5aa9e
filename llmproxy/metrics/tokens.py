"""Adds up the token usage that providers report, and its cost. Unknown values stay unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llmproxy.dialects.usage import Usage

COST_DIGITS = 10
TOKEN_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")


@dataclass(slots=True, kw_only=True)
class TokenCounters:
    """Tokens by kind and their cost in USD; None until a number is known. `cost_unknown` counts unknown costs."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost_usd: float | None = None
    cost_unknown: int = 0

    def add_cost(self, cost_usd: float | None, *, unknown: bool) -> None:
        """Count what one exchange cost. `unknown` says that it cost something that nobody knows."""
        if cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost_usd
        elif unknown:
            self.cost_unknown += 1

    def add_usage(self, usage: Usage | None) -> bool:
        """Count the usage of one answer; return False when it reports neither input nor output."""
        if usage is None or (usage.input is None and usage.output is None):
            return False
        if (number := usage.input) is not None:
            self.input = (self.input or 0) + number
        if (number := usage.output) is not None:
            self.output = (self.output or 0) + number
        if (number := usage.cache_read) is not None:
            self.cache_read = (self.cache_read or 0) + number
        if (number := usage.cache_write) is not None:
            self.cache_write = (self.cache_write or 0) + number
        if (number := usage.reasoning) is not None:
            self.reasoning = (self.reasoning or 0) + number
        return True

    @property
    def tokens(self) -> tuple[tuple[str, int | None], ...]:
        """Return the tokens by kind, under the names of their labels."""
        return (
            ("input", self.input),
            ("output", self.output),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("reasoning", self.reasoning),
        )


def sum_tokens(parts: Iterable[TokenCounters]) -> dict[str, int | None]:
    """Return the sums of `parts` by kind."""
    sums: dict[str, int | None] = dict.fromkeys(TOKEN_KINDS)
    for part in parts:
        for kind, number in part.tokens:
            if number is not None:
                sums[kind] = (sums[kind] or 0) + number
    return sums


def sum_costs(parts: Iterable[TokenCounters]) -> dict[str, float | int | None]:
    """Return what `parts` cost together, and how many costs are unknown."""
    listed = list(parts)
    known = [part.cost_usd for part in listed if part.cost_usd is not None]
    return {
        "cost_usd": round(sum(known), COST_DIGITS) if known else None,
        "cost_unknown": sum(part.cost_unknown for part in listed),
    }
