"""The prices of a model as lines and as JSON."""

from __future__ import annotations

from llmproxy.cli.prices_view import price_json, price_lines
from llmproxy.pricing.price import Price, PriceRow, PriceSet, Rates

ROW = PriceRow(
    names=["m", "m-1*"],
    prices=Rates(input=2.0, web_search=0.01, above={"200000": Rates(input=4.0)}),
    tiers={"flex": Rates(input=1.0)},
    later=[("2027-01-01", PriceSet(prices=Rates(input=3.0)))],
    hours=[("22:00", "02:00", Rates(input=0.5))],
)


def test_a_price_has_a_line_for_each_of_its_parts() -> None:
    assert list(price_lines("eu", Price(ROW, "mine"))) == [
        "eu: m, m-1*",
        "  input             $2 for a million tokens",
        "  web search        $0.01 for a web search",
        "  above 200,000 input tokens, for the whole request",
        "    input             $4 for a million tokens",
        "  tier flex",
        "    input             $1 for a million tokens",
        "  from 22:00 to 02:00 UTC",
        "    input             $0.5 for a million tokens",
        "  from 2027-01-01 on",
        "    input             $3 for a million tokens",
        "  source: mine",
    ]


def test_the_json_form_is_that_of_the_table() -> None:
    shown = price_json("eu", Price(ROW, ""))
    assert (shown["provider"], shown["source"], shown["names"]) == ("eu", "the configuration", ["m", "m-1*"])
    assert shown["prices"] == {"input": 2.0, "web_search": 0.01, "above": {"200000": {"input": 4.0}}}
    assert shown["from"] == [("2027-01-01", {"prices": {"input": 3.0}})]
