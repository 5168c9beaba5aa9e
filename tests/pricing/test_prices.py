"""What calls and exchanges cost."""

from __future__ import annotations

import time
from typing import Any

import pytest

from llmproxy.dialects.catalog import find
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage, UsageDetails
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.pricing.price import Price, PriceRow, Rates
from llmproxy.pricing.prices import PriceRule, Prices, format_usd
from llmproxy.route import Route
from llmproxy.target import Target
from tests.support.exchanges import NamedProvider, ended, new_call

MILLION = Usage(input=1_000_000, output=0)


def rule(pattern: str, price: float) -> PriceRule:
    row = PriceRow(names=[pattern], prices=Rates(input=price, output=0.0))
    return PriceRule(pattern=pattern, price=Price(row, ""))


def target(provider: str, model: str | None = None) -> Target:
    return Target(provider=NamedProvider(provider), model=model)


def cost(provider: str, model: str | None, answered: str | None = None, prices: Prices | None = None) -> float | None:
    return (prices or Prices()).cost(target(provider), model, MILLION, answered)


def charged(prices: Prices | None = None, **changes: Any) -> Exchange:
    exchange = ended(**changes)
    (prices or Prices()).charge(exchange)
    return exchange


def test_the_same_model_has_another_price_at_another_provider() -> None:
    assert cost("groq", "openai/gpt-oss-120b") != cost("cerebras", "gpt-oss-120b")
    assert cost("openai", "gpt-4o") == 2.5
    assert cost("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0") == 3.3
    assert cost("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0") == 3
    assert cost("anthropic", "claude-haiku-4-5-20251001") == cost("vertex", "claude-haiku-4-5@20251001") == 1


@pytest.mark.parametrize(
    ("provider", "model", "answered", "same_as"),
    [
        ("openai", "gpt-4o", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("azure", "our-deployment", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("azure", "gpt-4o", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai", "gpt-4o", None, "gpt-4o"),
        ("openai", "gpt-4o", "something-else", "gpt-4o"),
        ("openrouter", "openrouter/auto", "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4.5"),
        (
            "bedrock",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5-20250929",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
    ],
)
def test_the_answer_names_the_model_unless_the_request_says_more(
    provider: str, model: str, answered: str | None, same_as: str
) -> None:
    assert cost(provider, model, answered) == cost(provider, same_as) is not None


def test_a_free_variant_stays_free_when_the_answer_leaves_that_out() -> None:
    assert cost("openrouter", "google/gemma-4-31b-it:free", "google/gemma-4-31b-it") == 0


@pytest.mark.parametrize("provider", ["ollama", "vllm", "openai-compatible", "stub", "main"])
def test_local_services_have_no_price(provider: str) -> None:
    assert cost(provider, "gpt-4o") is None


def test_configured_prices_come_first_those_of_the_provider_before_all() -> None:
    prices = Prices([rule("gpt-4o", 5.0), rule("llama*", 0.0)], {"eu": [rule("gpt-4o*", 7.0)]})
    assert cost("eu", "gpt-4o", prices=prices) == 7
    assert cost("openai", "gpt-4o", prices=prices) == 5
    assert cost("openai", "gpt-4o-mini", prices=prices) == 0.15
    assert cost("ollama", "llama3:8b", prices=prices) == 0


def test_a_route_is_estimated_at_its_dearest_target() -> None:
    route = Route(name="smart", targets=(target("openai", "gpt-4o-mini"), target("openai", "gpt-4o"), target("x")))
    assert Prices().estimate(route, "smart", 1_000_000, 1_000_000) == 12.5
    assert Prices().estimate(Route(name="x", targets=(target("x"),)), "x", 1, 1) is None


def test_the_price_that_a_provider_sends_counts_where_it_is_known_to_be_one() -> None:
    usage = Usage(input=10, output=1, details=UsageDetails(cost_usd=0.125))
    assert Prices().cost(target("openrouter"), "nobody-knows-me", usage) == 0.125
    assert Prices().cost(target("openai"), "gpt-4o", usage) == pytest.approx(0.000035)
    configured = Prices([rule("nobody-knows-me", 1.0)])
    assert configured.cost(target("openrouter"), "nobody-knows-me", usage) == pytest.approx(0.00001)


def test_an_exchange_costs_what_its_call_costs_and_a_failed_call_nothing() -> None:
    calls = [new_call(status=503, error="upstream_error"), new_call("openai", "gpt-4o")]
    exchange = charged(calls=calls)
    assert exchange.cost_usd == pytest.approx(1200 * 2.5e-6 + 85 * 1e-5)
    assert [call.cost_usd for call in calls] == [0, exchange.cost_usd] and not exchange.cost_unknown


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": 429, "summary": Summary(error="slow down")}, 0),
        ({"status": 502, "outcome": "error", "summary": Summary()}, 0),
        ({"calls": []}, 0),
        ({"calls": [], "cache": "hit"}, 0),
        ({"endpoint": find("POST", "/messages/count_tokens"), "summary": Summary()}, 0),
        ({"outcome": "cancelled", "summary": Summary()}, None),
        ({"outcome": "cancelled", "summary": Summary(usage=Usage(input=1_000_000, output=1))}, 2.50001),
        ({"summary": Summary()}, None),
        ({"calls": [new_call("openai", "nobody-knows-me")], "summary": Summary(usage=MILLION)}, None),
    ],
)
def test_what_is_paid_for(changes: dict[str, Any], expected: float | None) -> None:
    exchange = charged(**changes)
    assert exchange.cost_usd == expected
    assert exchange.cost_unknown == (expected is None)


def test_the_clients_word_for_a_model_is_no_answer() -> None:
    call = new_call("openai", "gpt-4o")
    exchange = charged(model="gpt-4o-mini", calls=[call], summary=Summary(model="gpt-4o-mini", usage=MILLION))
    assert exchange.cost_usd == 2.5


def test_who_shares_a_call_pays_what_its_client_left_unpaid() -> None:
    prices, call = Prices(), new_call("openai", "gpt-4o")
    first = charged(prices, calls=[call], call=call, outcome="cancelled", summary=Summary())
    shares = [charged(prices, calls=[], call=call, cache="hit", summary=Summary(usage=MILLION)) for _ in range(2)]
    assert first.cost_usd is None and [each.cost_usd for each in shares] == [2.5, 0]


def test_who_shares_a_call_that_is_paid_pays_nothing() -> None:
    prices, call = Prices(), new_call("openai", "gpt-4o")
    first = charged(prices, calls=[call], call=call, summary=Summary(usage=MILLION))
    second = charged(prices, calls=[], call=call, cache="hit", summary=Summary(usage=MILLION))
    assert (first.cost_usd, second.cost_usd) == (2.5, 0)


def test_targets_without_a_price_are_left_out_where_one_is_required() -> None:
    prices = Prices(required=True)
    route = Route(name="smart", targets=(target("ollama"), target("openai", "gpt-4o")))
    assert prices.priced_route(route, ended(model="smart")).targets == route.targets[1:]
    assert prices.priced_route(route, ended(model=None)) is route
    priced = Route(name="gpt-4o", targets=(target("openai"),))
    assert prices.priced_route(priced, ended(model="gpt-4o")) is priced


def test_a_model_without_any_price_is_refused_where_one_is_required() -> None:
    route = Route(name="x", targets=(target("openai"),))
    with pytest.raises(ProxyError, match=r"'nobody-knows-me' at the provider 'openai' .* `prices`") as refused:
        Prices(required=True).priced_route(route, ended(model="nobody-knows-me"))
    assert (refused.value.status, refused.value.code) == (403, "price_unknown")


async def test_the_table_is_read_once_and_not_before_it_is_needed() -> None:
    prices = Prices()
    assert prices.table is None
    await prices.load()
    table = prices.table
    await prices.load()
    assert table is prices.table is not None


def test_names_of_clients_take_bounded_memory() -> None:
    prices = Prices()
    for number in range(5000):
        cost("openai", f"made-up-{number}", prices=prices)
    assert len(prices._known) <= 2000
    assert cost("openai", "x" * 5_000_000, prices=prices) is None and max(map(len, map(str, prices._known))) < 100
    assert cost("openai", "gpt-4o", prices=prices) == 2.5


def test_the_price_of_an_answer_takes_microseconds() -> None:
    prices, exchange = Prices(), ended()
    prices.charge(exchange)
    rounds = 2000
    took_s = min(_timed(prices, exchange, rounds) for _ in range(5))
    assert took_s / rounds < 25e-6, "5 on an idle machine"


def _timed(prices: Prices, exchange: Exchange, rounds: int) -> float:
    began_s = time.thread_time()
    for _ in range(rounds):
        exchange.charged = False
        prices.charge(exchange)
    return time.thread_time() - began_s


@pytest.mark.parametrize(
    ("cost_usd", "text"), [(0.0, "0"), (2.8e-06, "0.0000028"), (1.5, "1.5"), (1e-13, "0"), (1234567.0, "1234567")]
)
def test_amounts_have_no_exponent(cost_usd: float, text: str) -> None:
    assert format_usd(cost_usd) == text
