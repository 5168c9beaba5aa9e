"""The embedded table against the package that it is made from: every model, every tier, and its arithmetic."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import types
from genai_prices.data import providers

from llmproxy.dialects.usage import Usage, UsageDetails
from llmproxy.pricing.genai_prices import convert, is_genai_prices
from llmproxy.pricing.price import Price, PriceRow, Rates
from llmproxy.pricing.price_table import embedded_table
from scripts.prices import raw_providers

CONTEXTS: dict[str, dict[str, str]] = {
    "batch": {"processing": "batch"},
    "fast": {"service_tier": "fast", "speed": "fast"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
SAMPLE = 40  # each that many-th model is checked in the suite, all of them with --long
SIZES = (1000, 150_000, 300_000, 600_000)
# The table leaves out what was over on its day.
DAY = datetime.fromisoformat(embedded_table().date).replace(tzinfo=UTC)
NOON, NIGHT = (DAY + timedelta(days=15, hours=hour) for hour in (12, 2))
DETAILS = {
    "input_audio": "input_audio_tokens",
    "output_audio": "output_audio_tokens",
    "cache_read_audio": "cache_audio_read_tokens",
    "input_image": "input_image_tokens",
    "output_image": "output_image_tokens",
    "cache_read_image": "cache_image_read_tokens",
    "input_video": "input_video_tokens",
    "output_video": "output_video_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "web_search": "web_searches",
    "file_search": "storage_searches",
}
PARTS = {  # of what each is a part, as the share of it
    **dict.fromkeys(("input_audio", "input_image", "input_video"), 8),
    **dict.fromkeys(("output_audio", "output_image", "output_video"), 8),
    **dict.fromkeys(("cache_read_audio", "cache_read_image"), 32),
}


def models() -> Iterator[tuple[types.Provider, types.ModelInfo]]:
    for provider in providers:
        if provider.id in embedded_table().names():
            for model in provider.models:
                yield provider, model


def ours(size: int, rates: Rates, tier: str | None) -> Usage:
    """Usage of everything that has a price of its own."""
    read, written = size // 4, size // 8
    parts = {name: size // share for name, share in PARTS.items() if getattr(rates, name) is not None}
    searches = {name: 3 for name in ("web_search", "file_search") if getattr(rates, name) is not None}
    hour = {"cache_write_1h": written // 2} if rates.cache_write_1h is not None else {}
    details = UsageDetails(tier=tier, **parts, **searches, **hour)
    output = 0 if rates.output is None else size // 2
    return Usage(
        input=size,
        output=output,
        cache_read=read if rates.cache_read is not None or "cache_read_audio" in parts else 0,
        cache_write=written if rates.cache_write is not None or hour else 0,
        reasoning=output // 4 if rates.reasoning is not None else 0,
        details=details,
    )


def theirs(usage: Usage) -> TheirUsage:
    assert isinstance(usage.details, UsageDetails)
    counts = {their: getattr(usage.details, name) for name, their in DETAILS.items()}
    return TheirUsage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        output_reasoning_tokens=usage.reasoning,
        **{name: count for name, count in counts.items() if count is not None},
    )


def rows_of(row: PriceRow) -> Iterator[tuple[str | None, Rates]]:
    yield None, row.prices
    yield from row.tiers.items()


def check(provider: types.Provider, model: types.ModelInfo) -> int:
    """Compare all prices of one model; return how many costs were compared."""
    found = embedded_table().list(provider.id)[1].find(model.id)
    if found is None or found.prices.input is None or model.id.endswith(":free"):
        return 0
    price, compared = Price(found, "test"), 0
    for tier, rates in rows_of(found):
        for size in SIZES:
            usage = ours(size, rates, tier)
            for moment in (NOON, NIGHT):
                if found.later and tier is not None and moment.date() >= date.fromisoformat(found.later[0][0]):
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    expected = model.calc_price(
                        theirs(usage),
                        provider,
                        genai_request_timestamp=moment,
                        price_context=CONTEXTS[tier] if tier else None,
                    ).total_price
                cost = price.cost(usage, moment.timestamp())
                assert cost == pytest.approx(float(expected), rel=1e-9, abs=1e-12), (provider.id, model.id, tier, usage)
                compared += 1
    return compared


def test_costs_are_those_of_the_package_for_a_sample() -> None:
    assert sum(check(*each) for number, each in enumerate(models()) if number % SAMPLE == 0) > 200


@pytest.mark.parametrize(
    "model",
    ["gpt-6-sol", "gpt-audio", "claude-opus-5", "claude-haiku-5-5", "gemini-2.5-pro", "gemini-3-pro-image-preview"],
)
def test_costs_of_models_with_many_prices_are_those_of_the_package(model: str) -> None:
    assert sum(check(*each) for each in models() if each[1].id == model) > 0


@pytest.mark.long
def test_costs_are_those_of_the_package_for_every_model_and_tier() -> None:
    assert sum(check(*each) for each in models()) > 10_000


def literals(match: object) -> Iterator[str]:
    for name in ("or_", "and_"):
        for each in getattr(match, name, ()):
            yield from literals(each)
    for name in ("equals", "starts_with", "contains", "ends_with"):
        if hasattr(match, name):
            yield getattr(match, name)


AFTER = ("", "-20250929", "-v1:0", "-latest", "-preview-05-20", "-mini", "-5", "-tts", "-audio", "0")
BEFORE = ("", "us.", "global.", "us.anthropic.", "anthropic/")


def names_conflict(sample: int) -> list[str]:
    """Names that have one price here and another one there."""
    conflicts = []
    for number, (provider, model) in enumerate(models()):
        if number % sample:
            continue
        names = embedded_table().list(provider.id)[1]
        for literal in literals(model.match):
            for name in (before + literal + after for before in BEFORE for after in AFTER):
                found, their = names.find(name), provider.find_model(name)
                if found is None or their is None or found.hours:
                    continue
                price = getattr(their.get_prices(DAY), "input_mtok")  # noqa: B009 (made by the package)
                base = price.base if isinstance(price, types.TieredPrices) else price
                if float(base or 0) != (found.prices.input or 0):
                    conflicts.append(f"{provider.id} {name}")
    return conflicts


def test_no_name_has_another_price_than_in_the_package() -> None:
    assert names_conflict(10 * SAMPLE) == []


@pytest.mark.long
def test_no_name_of_any_model_has_another_price_than_in_the_package() -> None:
    assert names_conflict(1) == []


def test_the_embedded_table_is_that_of_the_package() -> None:
    """`scripts/prices` was run after the last change of the lock."""
    table = embedded_table()
    began_s = time.thread_time()
    converted = convert(raw_providers(), table.source, date.fromisoformat(table.date))
    assert time.thread_time() - began_s < 5
    count = sum(len(each["models"]) for each in converted["lists"].values())
    assert (set(converted["lists"]), count) == (set(table.names()), table.check())


def test_the_data_is_told_from_a_table() -> None:
    assert is_genai_prices(raw_providers())
    assert not is_genai_prices({"lists": {}}) and not is_genai_prices([]) and not is_genai_prices([{"id": "x"}])


def test_prices_that_are_over_are_left_out_and_later_ones_have_their_day() -> None:
    prices = [
        {"prices": {"input_mtok": 1}},
        {"constraint": {"start_date": "2026-01-01"}, "prices": {"input_mtok": 2}},
        {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 4}},
        {"constraint": {"start_time": "22:00:00Z", "end_time": "02:00:00Z"}, "prices": {"input_mtok": 3}},
    ]
    batch = {"when": {"processing": "batch"}, "prices": {"input_mtok": 0.5}}
    model = {"id": "m", "match": {"equals": "M"}, "prices": prices, "price_variants": [batch]}
    [row] = convert([{"id": "x", "api_pattern": "", "models": [model]}], "s", date(2026, 6, 1))["lists"]["x"]["models"]
    assert row == {
        "names": ["m"],
        "prices": {"input": 2},
        "tiers": {"batch": {"input": 0.5}},
        "from": [["2027-01-01", {"prices": {"input": 4}, "tiers": {"batch": {"input": 0.5}}}]],
        "hours": [["22:00", "02:00", {"input": 3}]],
    }


def test_a_model_without_a_price_is_left_out_and_a_free_one_is_not() -> None:
    listed = [{"id": name, "match": {"equals": name}, "prices": {}} for name in ("unknown", "gift:free")]
    table = convert([{"id": "x", "api_pattern": "", "models": listed}], "s", date(2026, 6, 1))
    assert [row["names"] for row in table["lists"]["x"]["models"]] == [["gift:free"]]
