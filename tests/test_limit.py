from __future__ import annotations

from llmproxy.limit import EVERYTHING, Budget, Limit


def test_limits_and_budgets_count_all_requests_where_nothing_else_is_said() -> None:
    limit = Limit(kind="requests", amount=5, per_s=60)
    budget = Budget(max_cost=1, period="day")

    assert (limit.scope, limit.match) == ("key", EVERYTHING)
    assert (budget.scope, budget.match, budget.route) == ("global", EVERYTHING, None)
