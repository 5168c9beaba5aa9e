from __future__ import annotations

import pytest
from pydantic import ValidationError

from llmproxy.config.routing_schema import BreakerConfig, ConditionConfig, ModelConfig, RoutingConfig, TargetConfig


def test_a_target_may_be_written_in_short() -> None:
    assert TargetConfig.model_validate("a/org/model") == TargetConfig(provider="a", model="org/model")
    assert TargetConfig.model_validate("a") == TargetConfig(provider="a")


@pytest.mark.parametrize(("value", "share"), [("20%", 0.2), (0.5, 0.5), ("0.25", 0.25), (" 0 % ", 0.0), (1, 1.0)])
def test_shares_are_percentages_or_numbers(value: object, share: float) -> None:
    breaker = BreakerConfig.model_validate({"failure_ratio": value})
    assert breaker.failure_ratio == pytest.approx(share)


@pytest.mark.parametrize("value", ["120%", -1, "x", True, None, [], "nan"])
def test_a_share_is_between_0_and_1(value: object) -> None:
    with pytest.raises(ValidationError):
        BreakerConfig.model_validate({"failure_ratio": value})


def test_reasons_are_statuses_and_connection() -> None:
    routing = RoutingConfig.model_validate({"retry_on": ["connection", "503", 429]})
    assert routing.retry_on == ["connection", 503, 429]
    for wrong in ("conn", 200, True, 399, 600, None):
        with pytest.raises(ValidationError, match=r"retry_on|true"):
            RoutingConfig.model_validate({"retry_on": [wrong]})


@pytest.mark.parametrize(
    "value", [{"min_tokens": 9, "max_tokens": 3}, {"headers": {"a b": "x"}}, {"has_image": True}, {"max_tokens": -1}]
)
def test_impossible_conditions_are_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ConditionConfig.model_validate(value)


def test_a_model_with_weights_of_0_alone_is_refused() -> None:
    targets = [{"provider": "a", "weight": 0}, {"provider": "b", "weight": 0}]
    with pytest.raises(ValidationError, match="all weights are 0"):
        ModelConfig.model_validate({"name": "m", "targets": targets})
