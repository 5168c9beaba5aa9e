"""Budgets and efforts."""

from __future__ import annotations

import pytest

from llmproxy.dialects.efforts import budget_of, effort_of, nearest_effort
from llmproxy.dialects.model import Effort


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
def test_an_effort_and_its_budget_stand_for_each_other(effort: Effort) -> None:
    assert effort_of(budget_of(effort)) == effort
    assert effort_of(budget_of(effort) - 1) == effort


def test_budgets_beyond_all_and_none() -> None:
    assert effort_of(10**6) == "max"
    assert budget_of("none") == 0


@pytest.mark.parametrize(
    ("asked", "accepted", "nearest"),
    [
        ("high", ("low", "high"), "high"),
        ("xhigh", ("low", "medium", "high", "max"), "max"),
        ("max", ("low", "medium", "high"), "high"),
        ("minimal", ("none", "low"), "low"),
        ("low", ("none", "high"), "high"),
        ("none", ("minimal", "low"), "minimal"),
        ("none", ("high",), "high"),
    ],
)
def test_the_nearest_effort_that_a_model_accepts(asked: Effort, accepted: tuple[Effort, ...], nearest: Effort) -> None:
    assert nearest_effort(asked, accepted) == nearest
