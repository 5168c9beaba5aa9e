"""What an answer costs by the prices of its model."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.usage import Usage, UsageDetails
from llmproxy.pricing.price import Price, PriceRow, PriceSet, Rates

M = 1_000_000
DAY_S = 86400.0


def price(prices: Rates, **more: Any) -> Price:
    return Price(PriceRow(names=["m"], prices=prices, **more), "test")


def cost(prices: Rates, usage: Usage | None, **more: Any) -> float | None:
    return price(prices, **more).cost(usage)


def test_cached_and_reasoning_tokens_have_their_own_price() -> None:
    prices = Rates(input=2.0, output=10.0, cache_read=0.5, cache_write=2.5, reasoning=12.0)
    usage = Usage(input=M, output=M, cache_read=M // 2, cache_write=M // 4, reasoning=M // 10)
    assert cost(prices, usage) == pytest.approx(0.25 * 2 + 0.5 * 0.5 + 0.25 * 2.5 + 0.9 * 10 + 0.1 * 12)


def test_tokens_without_a_price_of_their_own_cost_what_the_others_do() -> None:
    usage = Usage(input=M, output=M, cache_read=M // 2, cache_write=M // 4, reasoning=M // 10)
    assert cost(Rates(input=2.0, output=10.0), usage) == pytest.approx(12)


def test_an_hour_of_cache_costs_more_and_is_unknown_without_a_price() -> None:
    usage = Usage(input=M, output=0, cache_write=M, details=UsageDetails(cache_write_1h=M // 2))
    assert cost(Rates(input=1.0, output=5.0, cache_write=1.25, cache_write_1h=2.0), usage) == pytest.approx(1.625)
    assert cost(Rates(input=1.0, output=5.0, cache_write=1.25), usage) is None


def test_a_long_context_has_its_price_for_the_whole_request() -> None:
    prices = Rates(input=1.0, output=2.0, cache_read=0.1, above={"200000": Rates(input=2.0, output=3.0)})
    assert cost(prices, Usage(input=200_000, output=0)) == pytest.approx(0.2)
    assert cost(prices, Usage(input=200_001, output=M, cache_read=100_000)) == pytest.approx(0.200002 + 0.01 + 3)


def test_a_tier_has_its_own_price_and_an_unknown_one_has_none() -> None:
    tiers = {"flex": Rates(input=1.0, output=5.0)}
    for tier, expected in ((None, 12), ("flex", 6), ("scale", None)):
        usage = Usage(input=M, output=M, details=UsageDetails(tier=tier))
        assert cost(Rates(input=2.0, output=10.0), usage, tiers=tiers) == expected


def test_audio_and_images_differ_from_text_also_where_they_were_cached() -> None:
    prices = Rates(
        input=1.0,
        output=2.0,
        cache_read=0.5,
        input_audio=10.0,
        output_audio=20.0,
        cache_read_audio=3.0,
        output_image=30.0,
    )
    heard = UsageDetails(input_audio=M // 2, output_audio=M // 4, cache_read_audio=M // 4, output_image=M // 4)
    usage = Usage(input=M, output=M, cache_read=M // 2, details=heard)
    assert cost(prices, usage) == pytest.approx(
        0.25 * 1 + 0.25 * 0.5 + 0.25 * 10 + 0.25 * 3 + 0.5 * 2 + 0.25 * 20 + 7.5
    )


def test_cached_audio_that_is_not_told_apart_has_no_known_price() -> None:
    prices = Rates(input=1.0, output=2.0, cache_read=0.5, input_audio=10.0, cache_read_audio=3.0)
    unknown = Usage(input=M, output=0, cache_read=M // 2, details=UsageDetails(input_audio=M // 2))
    assert cost(prices, unknown) is None


def test_searches_and_requests_have_a_price_each() -> None:
    usage = Usage(input=0, output=0, details=UsageDetails(web_search=3, file_search=2))
    assert cost(Rates(input=1.0, output=1.0, web_search=0.01, file_search=0.0025, request=0.5), usage) == pytest.approx(
        0.535
    )
    assert cost(Rates(input=1.0, output=1.0), usage) is None


@pytest.mark.parametrize(
    ("prices", "usage"),
    [
        (Rates(input=1.0, output=1.0), None),
        (Rates(input=1.0, output=1.0), Usage()),
        (Rates(input=1.0, output=1.0), Usage(input=5)),
        (Rates(input=1.0), Usage(input=5, output=5)),
        (Rates(output=1.0), Usage(input=5, output=5)),
        (Rates(input=1.0, output=1.0, cache_read=0.1), Usage(input=5, output=5, cache_read=6)),
        (Rates(second=0.0001), Usage(input=5, output=5)),
    ],
)
def test_what_is_not_known_makes_the_cost_unknown(prices: Rates, usage: Usage | None) -> None:
    assert cost(prices, usage) is None


def test_embeddings_have_no_output() -> None:
    assert cost(Rates(input=0.02), Usage(input=M)) == cost(Rates(input=0.02, output=0.0), Usage(input=M)) == 0.02


@pytest.mark.parametrize("usage", [None, Usage(), Usage(input=5, output=5)])
def test_what_is_free_costs_nothing_whatever_is_known_of_it(usage: Usage | None) -> None:
    assert cost(Rates(input=0.0, output=0.0), usage) == 0


def test_the_hour_and_the_day_decide() -> None:
    later = [
        ("1970-01-03", PriceSet(prices=Rates(input=5.0, output=0.0), tiers={"flex": Rates(input=4.0, output=0.0)}))
    ]
    night = [("22:00", "02:00", Rates(input=2.0, output=0.0))]
    own = price(Rates(input=1.0, output=0.0), later=later, hours=night)
    million, flex = Usage(input=M, output=0), Usage(input=M, output=0, details=UsageDetails(tier="flex"))
    hours = (0.0, 2 * 3600 - 1, 2 * 3600, 21 * 3600, 22 * 3600)
    assert [own.cost(million, at_s) for at_s in hours] == [2, 2, 1, 1, 2]
    assert own.cost(million, 2 * DAY_S + 12 * 3600) == 5 and own.cost(flex, 2 * DAY_S) == 4
    assert own.cost(flex, 0.0) is None
