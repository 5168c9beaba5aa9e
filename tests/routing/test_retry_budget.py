from __future__ import annotations

from llmproxy.routing.retry_budget import RetryBudget


def taken(budget: RetryBudget, now_s: float, tries: int) -> int:
    return sum(budget.take(now_s) for _ in range(tries))


def test_a_few_retries_are_always_allowed() -> None:
    budget = RetryBudget(floor=3)
    assert taken(budget, 0.0, 10) == 3
    assert budget.refused == 7
    assert taken(budget, 9.9, 10) == 0
    assert taken(budget, 10.0, 10) == 3


def test_more_are_a_share_of_the_requests_of_the_last_ten_seconds() -> None:
    budget = RetryBudget(share=0.2, floor=3)
    for second in range(5):
        for _ in range(20):
            budget.count(float(second))
    assert taken(budget, 4.0, 100) == 20
    assert taken(budget, 12.0, 100) == 0
    assert taken(budget, 14.0, 100) == 3
