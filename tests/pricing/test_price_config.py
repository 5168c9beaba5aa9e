"""Prices as they are written in the configuration."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llmproxy.pricing.price import PriceRow, Rates
from llmproxy.pricing.price_config import PriceConfig


def row(**keys: Any) -> PriceRow:
    return PriceConfig.model_validate(keys).row("m")


def test_prices_are_numbers_of_dollars_and_the_rest_is_unknown() -> None:
    assert row(input=2, output=10.5) == PriceRow(names=["m"], prices=Rates(input=2.0, output=10.5))
    assert row(input=0, output=0).prices.input == 0


@pytest.mark.parametrize(("written", "tokens"), [("200k", "200000"), ("1M", "1000000"), (128000, "128000")])
def test_a_long_context_is_a_number_of_tokens(written: object, tokens: str) -> None:
    assert row(input=1, above={written: {"input": 2}}).prices.above == {tokens: Rates(input=2.0)}


def test_tiers_have_prices_of_their_own() -> None:
    tiers = row(input=1, tiers={"Flex": {"input": 0.5, "above": {"200k": {"input": 1}}}}).tiers
    assert tiers == {"flex": Rates(input=0.5, above={"200000": Rates(input=1.0)})}


@pytest.mark.parametrize(
    "keys", [{"input": -1}, {"input": True}, {"input": "cheap"}, {"inputs": 1}, {"above": {"many": {"input": 1}}}]
)
def test_what_is_no_price_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        row(**keys)
