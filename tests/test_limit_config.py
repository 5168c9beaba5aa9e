from __future__ import annotations

import pytest
from pydantic import ValidationError

from llmproxy.limit import Budget, Limit, LimitMatch
from llmproxy.limit_config import BudgetConfig, LimitConfig


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ({"requests": 600}, Limit(kind="requests", amount=600, per_s=60)),
        ({"tokens": 9, "per": "hour"}, Limit(kind="tokens", amount=9, per_s=3600)),
        ({"cost": 0.5, "per": "24h", "scope": "team"}, Limit(kind="cost", amount=0.5, per_s=86400, scope="team")),
        (
            {"concurrent": 2, "match": {"model": "gpt-*", "key": ["a", "b"]}},
            Limit(kind="concurrent", amount=2, match=LimitMatch(models=("gpt-*",), keys=("a", "b"))),
        ),
    ],
)
def test_a_limit_is_read_from_its_short_form(written: dict[str, object], limit: Limit) -> None:
    assert LimitConfig.model_validate(written).limit() == limit


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        ({"max_cost": 100, "per": "month"}, Budget(max_cost=100, period="month")),
        ({"max_cost": 1, "per": "session"}, Budget(max_cost=1, period="session", scope="session")),
        ({"max_cost": 1, "per": "day", "warn_at": "50%"}, Budget(max_cost=1, period="day", warn_at=0.5)),
        ({"max_cost": 1, "per": "day", "warn_at": "never"}, Budget(max_cost=1, period="day", warn_at=None)),
        ({"max_cost": 1, "per": "day", "on_exceeded": {"route": "x"}}, Budget(max_cost=1, period="day", route="x")),
    ],
)
def test_a_budget_is_read_from_its_short_form(written: dict[str, object], budget: Budget) -> None:
    assert BudgetConfig.model_validate(written).budget() == budget


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "one of requests, tokens, concurrent, cost is required"),
        ({"requests": 1, "tokens": 2}, "found requests and tokens"),
        ({"requests": 0}, "greater than or equal to 1"),
        ({"tokens": -5}, "greater than or equal to 1"),
        ({"requests": 2**60}, "must be between"),
        ({"cost": 0}, "greater than 0"),
        ({"cost": 1e13}, "less than or equal to"),
        ({"requests": 1, "per": "10ms"}, "from 1s to 31d"),
        ({"requests": 1, "per": "40d"}, "from 1s to 31d"),
        ({"requests": 1, "per": "month"}, "periods of the calendar are for `budgets`"),
        ({"concurrent": 1, "per": "1m"}, "remove `per`"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(written: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LimitConfig.model_validate(written)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_cost": 0}, "greater than 0"),
        ({"max_cost": float("inf")}, "finite"),
        ({"per": "year"}, "day"),
        ({"per": "session", "scope": "team"}, "remove `scope: team`"),
        ({"warn_at": "180%"}, "invalid share"),
        ({"timezone": "Mars/Olympus"}, "unknown time zone"),
        ({"timezone": "../etc/passwd"}, "unknown time zone"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BudgetConfig.model_validate({"max_cost": 1, "per": "day"} | changed)
