"""The prices of a configuration: those that it sets itself, and the table."""

from __future__ import annotations

from llmproxy.config.schema import Config
from llmproxy.pricing.price import Price
from llmproxy.pricing.price_config import PriceConfigs
from llmproxy.pricing.prices import PriceRule, Prices


def configured_prices(config: Config) -> Prices:
    """Return the prices. Their table is not read yet."""
    entries = [*config.providers, *([config.llm] if config.llm is not None else [])]
    own = {entry.name: _rules(entry.prices) for entry in entries if entry.prices}
    return Prices(_rules(config.prices), own, required=config.require_price)


def price_settings(config: Config) -> object:
    """Return what the prices of `config` depend on: with equal ones the same `Prices` serve again."""
    entries = [*config.providers, *([config.llm] if config.llm is not None else [])]
    return config.prices, config.require_price, [(entry.name, entry.prices) for entry in entries if entry.prices]


def _rules(prices: PriceConfigs) -> list[PriceRule]:
    return [PriceRule(pattern=pattern, price=Price(each.row(pattern), "")) for pattern, each in prices.items()]
