from __future__ import annotations

import math

from llmproxy.limit import Budget, Limit
from llmproxy.limiting.answers import limit_headers, limit_refusal
from llmproxy.limiting.plan import Demand, Planner
from llmproxy.stores.quotas import Taken
from tests.support.exchanges import new_exchange

BODY = {"model": "gpt-4o", "messages": []}
EXCHANGE = new_exchange(body=BODY)


def demand(*rules: Limit | Budget) -> Demand:
    planned = Planner(rules).plan(EXCHANGE)
    assert planned is not None
    return planned


def test_of_several_limits_the_one_with_the_least_left_is_shown() -> None:
    rules = [Limit(kind="requests", amount=amount, per_s=amount) for amount in (60, 100)]
    taken = Taken(used=[10, 90], slots=[0, 0])
    names = dict(limit_headers(EXCHANGE, demand(*rules), taken))

    assert names["x-ratelimit-limit-requests"] == "100"
    assert names["x-ratelimit-remaining-requests"] == "10"
    assert names["x-ratelimit-reset-requests"] == "1m40s"


def test_limits_of_other_kinds_have_no_headers() -> None:
    rules = demand(Limit(kind="concurrent", amount=1), Budget(max_cost=1, period="day"))

    assert limit_headers(EXCHANGE, rules, Taken(used=[0, 0], slots=[0, 0])) == ()


def test_a_wait_longer_than_sdks_wait_is_not_to_be_repeated() -> None:
    hour = demand(Limit(kind="requests", amount=1, per_s=3600))
    short, long = (
        dict(limit_refusal(EXCHANGE, hour, [1], Taken(used=[1], slots=[0], refused=0, wait_s=wait_s), ()).headers)
        for wait_s in (2.25, 1800)
    )

    assert (short["Retry-After"], short["retry-after-ms"]) == ("3", "2250")
    assert "x-should-retry" not in short
    assert (long["Retry-After"], long["x-should-retry"]) == ("1800", "false")


def test_a_budget_without_an_end_names_no_time() -> None:
    total = demand(Budget(max_cost=5, period="total"))
    error = limit_refusal(EXCHANGE, total, [1], Taken(used=[5], slots=[0], refused=0, wait_s=math.inf, settled=5), ())

    assert error.message == "Budget exceeded for all clients together: 5 USD in total"
    assert "Retry-After" not in dict(error.headers)


def test_a_budget_of_a_period_names_the_next_one() -> None:
    day = demand(Budget(max_cost=5, period="day"))
    error = limit_refusal(EXCHANGE, day, [1], Taken(used=[5], slots=[0], refused=0, wait_s=math.inf, settled=5), ())

    assert error.message.endswith("The next period begins at 2023-11-15T00:00:00Z")
    assert dict(error.headers)["Retry-After"] == "6400"


def test_a_budget_whose_rest_is_too_small_for_the_request_names_the_rest() -> None:
    total = demand(Budget(max_cost=5, period="total"))
    taken = Taken(used=[4.75], slots=[0], refused=0, wait_s=math.inf, settled=4.75)

    assert limit_refusal(EXCHANGE, total, [1], taken, ()).message == (
        "Budget exceeded for all clients together: 5 USD in total; 0.25 USD is left, and this request may cost more"
    )
