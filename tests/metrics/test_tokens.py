from __future__ import annotations

import pytest

from llmproxy.dialects.usage import Usage
from llmproxy.metrics.tokens import TOKEN_KINDS, TokenCounters, sum_costs, sum_tokens


def test_what_nobody_reported_stays_unknown() -> None:
    tokens = TokenCounters()

    assert tokens.add_usage(Usage(input=5, cache_read=0))
    assert tokens.add_usage(Usage(input=1, output=2))
    assert dict(tokens.tokens) == {"input": 6, "output": 2, "cache_read": 0, "cache_write": None, "reasoning": None}


@pytest.mark.parametrize("usage", [None, Usage(), Usage(cache_read=3)])
def test_usage_without_input_and_output_says_nothing(usage: Usage | None) -> None:
    tokens = TokenCounters()

    assert not tokens.add_usage(usage)
    assert set(dict(tokens.tokens).values()) == {None}


def test_sums_are_by_kind_and_null_without_a_number() -> None:
    parts = [TokenCounters(input=1, reasoning=2), TokenCounters(), TokenCounters(input=3, cache_write=0)]

    assert sum_tokens(parts) == {"input": 4, "output": None, "cache_read": None, "cache_write": 0, "reasoning": 2}
    assert sum_tokens([]) == dict.fromkeys(TOKEN_KINDS)


def test_costs_are_added_up_and_those_that_nobody_knows_are_counted() -> None:
    counters, other = TokenCounters(), TokenCounters()
    for cost, unknown in ((0.25, False), (None, True), (0.5, False), (None, False)):
        counters.add_cost(cost, unknown=unknown)
    assert sum_costs([counters, other]) == {"cost_usd": 0.75, "cost_unknown": 1}
    assert sum_costs([other]) == {"cost_usd": None, "cost_unknown": 0}
