"""Budgets and efforts."""

from __future__ import annotations

import pytest

from llmproxy.dialects.efforts import budget_of, effort_of
from llmproxy.dialects.model import Effort


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
def test_an_effort_and_its_budget_stand_for_each_other(effort: Effort) -> None:
    assert effort_of(budget_of(effort)) == effort
    assert effort_of(budget_of(effort) - 1) == effort


def test_budgets_beyond_all_and_none() -> None:
    assert effort_of(10**6) == "max"
    assert budget_of("none") == 0
