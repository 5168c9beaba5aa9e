"""The prices of a configuration: the table, the prices that it sets itself, and which provider has which list."""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.config.schema import Config
from llmproxy.price import Price
from llmproxy.price_config import PriceConfigs
from llmproxy.routing.prices import PriceRule, Prices, ProviderPrices
from llmproxy.target import Provider


def configured_prices(config: Config, providers: Sequence[Provider]) -> Prices:
    """Return the prices for `providers`. Their table is not read yet."""
    entries = [*config.providers, *([config.llm] if config.llm is not None else [])]
    rules = {entry.name: _rules(entry.prices) for entry in entries}
    named = {each.name: ProviderPrices(url=_address(each), rules=rules.get(each.name, ())) for each in providers}
    return Prices(_rules(config.prices), named, required=config.require_price)


def _address(provider: Provider) -> str | None:
    url = provider.describe().get("base_url")
    return url if isinstance(url, str) else None


def _rules(prices: PriceConfigs) -> list[PriceRule]:
    return [PriceRule(pattern=pattern, price=Price(each.row(pattern), "")) for pattern, each in prices.items()]
