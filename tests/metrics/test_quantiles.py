from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.metrics.quantiles import Quantiles

SHARES = (0.0, 0.5, 0.95, 0.99, 1.0)


def observed(*seconds: float) -> Quantiles:
    quantiles = Quantiles()
    for each in seconds:
        quantiles.observe(each)
    return quantiles


@given(st.lists(st.floats(min_value=1e-5, max_value=86_000), min_size=1, max_size=60), st.sampled_from(SHARES))
def test_a_percentile_is_within_five_percent_of_the_true_one(seconds: list[float], share: float) -> None:
    true = sorted(seconds)[max(math.ceil(share * len(seconds)), 1) - 1]

    assert observed(*seconds).quantile(share) == pytest.approx(true, rel=0.05)


def test_percentiles_of_a_hundred_durations_are_those_that_so_many_did_not_exceed() -> None:
    quantiles = observed(*(n / 1000 for n in range(1, 101)))

    assert [quantiles.quantile(share) for share in (0.5, 0.95, 0.99)] == pytest.approx([0.05, 0.095, 0.099], rel=0.05)


def test_of_nothing_nothing_is_known() -> None:
    assert Quantiles().quantile(0.5) is None
    assert Quantiles.merged([]).quantile(0.5) is None


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, 1e9])
def test_what_is_beyond_the_range_counts_at_its_end(seconds: float) -> None:
    quantile = observed(seconds).quantile(0.5)

    assert quantile is not None and (quantile < 2e-5 if seconds < 1 else quantile > 80_000)


@given(st.lists(st.floats(1e-5, 1e4)), st.lists(st.floats(1e-5, 1e4)), st.sampled_from(SHARES))
def test_merged_ones_know_what_all_of_them_knew(left: list[float], right: list[float], share: float) -> None:
    merged = Quantiles.merged([observed(*left), observed(*right)])

    assert merged.quantile(share) == observed(*left, *right).quantile(share)
