"""What calls cost."""

from llmproxy.dialects.model import Usage
from llmproxy.route import Route
from llmproxy.routing.prices import Prices
from tests.support.exchanges import ended, new_call


def test_an_unknown_price_is_none() -> None:
    target = new_call("openai", "gpt-4o").target
    prices = Prices()
    assert prices.cost(target, "nobody-knows-me", Usage(input=1, output=1)) is None
    assert prices.estimate(Route(name="x", targets=(target,)), "nobody-knows-me", 1, 1) is None
    exchange = ended(model="nobody-knows-me")
    prices.charge(exchange)
    assert exchange.cost_usd is None
