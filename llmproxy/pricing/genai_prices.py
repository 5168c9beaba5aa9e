"""Turn the data of genai-prices (github.com/pydantic/genai-prices, `data.json` of version 2) into a price table.

Its rules for names say "begins with" and "contains". Ours let only a version, a region or a path stand beside a name,
so that a new model is unknown instead of priced as an older one. Begin reading at `convert`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

# Aggregators and subscriptions whose prices are not those of a call to an API that we know.
# Their answers have the price of the call, in USD.
_REPORTS_COST = {"openrouter", "perplexity"}
_LEFT_OUT = re.compile(r"huggingface_.*|cursor|github-copilot|quicksilverpro|openai-decisions|elevenlabs")
_TYPES = {"bedrock": "aws", "gemini": "google", "vertex": "google", "xai": "x-ai"}
"""Our types of providers that have another name there."""
_PER_MILLION = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
    "cache_image_read_mtok": "cache_read_image",
    "input_video_mtok": "input_video",
    "output_video_mtok": "output_video",
}
_PER_PIECE = {
    "web_searches_kcount": ("web_search", 1000),
    "storage_searches_kcount": ("file_search", 1000),
    "requests_kcount": ("request", 1000),
    "audio_hours": ("second", 3600),
}
_TIERS = {"processing", "service_tier", "speed"}
_FORMS = {"equals": "{}", "starts_with": "{}*", "contains": "*{}*", "ends_with": "*{}"}
_DATED = re.compile(r"\^(?:\(typesafe/\)\?)?([^\[(?$]+?)(?:\[-@\]|-)(?:\\d\{8\}|\\d\{4\}-\\d\{2\}-\\d\{2\}|\\d)\$?")


def is_genai_prices(value: object) -> bool:
    """Return whether decoded JSON has the form of that package's data."""
    return (
        isinstance(value, list) and bool(value) and all(isinstance(each, dict) and "models" in each for each in value)
    )


def convert(providers: Sequence[Mapping[str, Any]], source: str, today: date) -> dict[str, Any]:
    """Return the table, as JSON. Prices that were replaced before `today` are left out."""
    lists = {
        each["id"]: _list(each, today) for each in providers if not _LEFT_OUT.fullmatch(each["id"]) and each["models"]
    }
    types = {type_: name for type_, name in _TYPES.items() if name in lists}
    return {"source": source, "date": today.isoformat(), "types": types, "lists": lists}


def _list(provider: Mapping[str, Any], today: date) -> dict[str, Any]:
    models = [row for model in provider["models"] if (row := _row(model, today)) is not None]
    return {
        "hosts": provider["api_pattern"],
        "pages": list(provider.get("pricing_urls") or ())[:1],
        "also": list(provider.get("fallback_model_providers") or ()),
        **({"reports_cost": True} if provider["id"] in _REPORTS_COST else {}),
        "models": models,
    }


def _row(model: Mapping[str, Any], today: date) -> dict[str, Any] | None:
    """Return one model; None without a price: only a name that says so is free."""
    names = list(dict.fromkeys(name.lower() for name in (*_names(model["match"]), model["id"])))
    prices = model["prices"]
    prices = prices if isinstance(prices, list) else [{"prices": prices}]
    variants = model.get("price_variants") or []
    row: dict[str, Any] = {"names": [name for name in names if f"{name}*" not in names and f"{name}@" not in names]}
    row |= _on(prices, variants, today.isoformat())
    if not row["prices"]:
        if not any(name.endswith(":free") for name in names):
            return None
        row["prices"] = {"input": 0, "output": 0}
    starts = {start for each in (*prices, *variants) if (start := _start(each)) > today.isoformat()}
    later = [[day, _on(prices, variants, day)] for day in sorted(starts)]
    hours = [
        [_minute(when["start_time"]), _minute(when["end_time"]), _prices(each["prices"])]
        for each in prices
        if "start_time" in (when := each.get("constraint") or {})
    ]
    return row | {name: value for name, value in (("from", later), ("hours", hours)) if value}


def _on(prices: Sequence[Mapping[str, Any]], variants: Sequence[Mapping[str, Any]], day: str) -> dict[str, Any]:
    """Return the prices and those of the other service tiers on a day: what a tier does not name costs what it usually
    does."""
    standard: dict[str, Any] = {}
    for each in prices:
        if _start(each) <= day and "start_time" not in (each.get("constraint") or {}):
            standard = _prices(each["prices"])
    tiers: dict[str, dict[str, Any]] = {}
    for variant in variants:
        when = variant["when"]
        tier = next(iter(when.values()))
        if len(when) == 1 and when.keys() <= _TIERS and tier != "default" and _start(variant) <= day:
            tiers[tier] = {**_prices(variant["prices"]), **tiers.get(tier, {})}
    merged = {name: _merged(standard, own) for name, own in tiers.items()}
    return {"prices": standard, **({"tiers": merged} if merged else {})}


def _start(each: Mapping[str, Any]) -> str:
    """Return the day from which a price counts, "" for always."""
    return str((each.get("constraint") or {}).get("start_date") or "")


def _merged(standard: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `own` over `standard`. The long-context price of a tier is its own, or there is none."""
    above = {
        start: {name: price for name, price in prices.items() if name not in own}
        for start, prices in standard.get("above", {}).items()
    }
    for start, prices in own.get("above", {}).items():
        above.setdefault(start, {}).update(prices)
    above = {start: prices for start, prices in above.items() if prices}
    merged = {name: price for name, price in (*standard.items(), *own.items()) if name != "above"}
    return merged | ({"above": above} if above else {})


def _prices(prices: Mapping[str, Any]) -> dict[str, Any]:
    """Return prices in USD: of a million tokens, or of one search, request or second."""
    converted: dict[str, Any] = {}
    above: dict[str, dict[str, Any]] = {}
    for key, price in prices.items():
        name = _PER_MILLION.get(key)
        if name is None and key in _PER_PIECE:
            name, pieces = _PER_PIECE[key]
            converted[name] = round(float(price) / pieces, 12)
        elif name is not None and isinstance(price, Mapping):
            converted[name] = _number(price["base"])
            for tier in price["tiers"]:
                above.setdefault(str(tier["start"]), {})[name] = _number(tier["price"])
        elif name is not None and price is not None:
            converted[name] = _number(price)
    return converted | {"above": above} if above else converted


def _number(price: Any) -> float:
    number = float(price)
    return int(number) if number.is_integer() else number


def _minute(time: str) -> str:
    """Return a time of day in UTC as `HH:MM`. The data has no other zone."""
    hour, minute = str(time).split(":")[:2]
    return f"{hour}:{minute}"


def _names(match: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that a rule matches: `x*` may be followed by a version, `x@` by a date, `*x` may stand behind a
    region or a path."""
    (kind, value), *_ = match.items()
    if kind in _FORMS:
        yield _FORMS[kind].format(value)
    elif kind == "or":
        for each in value:
            yield from _names(each)
    elif kind == "and":
        yield from _names(value[0])
    elif kind == "regex" and (dated := _DATED.fullmatch(value)):
        yield dated[1].replace("\\", "") + "@"
