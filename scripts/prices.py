"""Write the embedded price table from the package genai-prices: `python -m scripts.prices`, see scripts/prices.

The package is needed here and in tests only. Begin reading at `raw_providers`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from genai_prices import types
from genai_prices.data import providers

from llmproxy.pricing.genai_prices import convert

TABLE = Path(__file__).parent.parent / "llmproxy" / "pricing" / "price_table.json"
_CLAUSES = {
    "ClauseStartsWith": "starts_with",
    "ClauseEndsWith": "ends_with",
    "ClauseContains": "contains",
    "ClauseRegex": "regex",
    "ClauseEquals": "equals",
    "ClauseOr": "or",
    "ClauseAnd": "and",
}


def raw_providers() -> list[dict[str, Any]]:
    """Return the data of the package in the form of its `data.json`."""
    return [
        {
            "id": provider.id,
            "api_pattern": provider.api_pattern,
            "pricing_urls": provider.pricing_urls,
            "fallback_model_providers": provider.fallback_model_providers,
            "models": [_model(model) for model in provider.models],
        }
        for provider in providers
    ]


def _model(model: types.ModelInfo) -> dict[str, Any]:
    prices = model.prices
    return {
        "id": model.id,
        "match": _match(model.match),
        "prices": _prices(prices) if isinstance(prices, types.ModelPrice) else [_conditional(each) for each in prices],
        "price_variants": [{"when": each.when, **_conditional(each)} for each in model.price_variants or ()],
    }


def _conditional(each: types.ConditionalPrice | types.PriceVariant) -> dict[str, Any]:
    constraint = None if each.constraint is None else dataclasses.asdict(each.constraint)
    return {"prices": _prices(each.prices), "constraint": constraint and {k: _text(v) for k, v in constraint.items()}}


def _text(moment: date | time) -> str:
    if isinstance(moment, time) and moment.utcoffset():
        raise SystemExit(f"{moment} is not UTC")
    return moment.isoformat()


def _prices(prices: types.ModelPrice) -> dict[str, Any]:
    return {name: _price(price) for name, price in vars(prices).items() if price is not None}


def _price(price: Decimal | types.TieredPrices) -> Any:
    if isinstance(price, Decimal):
        return float(price)
    return {"base": float(price.base), "tiers": [{"start": t.start, "price": float(t.price)} for t in price.tiers]}


def _match(clause: Any) -> dict[str, Any]:
    name = _CLAUSES[type(clause).__name__]
    value = getattr(clause, dataclasses.fields(clause)[0].name)
    return {name: [_match(each) for each in value] if isinstance(value, list) else value}


def main() -> int:
    """Write the table, a model to a line."""
    package = distribution("genai-prices")
    source = f"genai-prices {package.version} (https://github.com/pydantic/genai-prices)"
    table = convert(raw_providers(), source, datetime.now(UTC).date())
    license_ = next(each for each in package.files or () if each.name == "LICENSE")
    table["license"] = license_.read_text().strip()
    TABLE.write_text(written(table), encoding="utf-8")
    count = sum(len(each["models"]) for each in table["lists"].values())
    print(f"{TABLE.name}: {count} models, {TABLE.stat().st_size} bytes, from {source}")
    return 0


def written(table: dict[str, Any]) -> str:
    """Return the table as text whose differences can be read."""
    lists = []
    for name, each in table["lists"].items():
        head = {key: value for key, value in each.items() if key != "models"}
        models = ",\n".join(json.dumps(model, separators=(",", ":")) for model in each["models"])
        lists.append(f'{json.dumps(name)}:{json.dumps(head, separators=(",", ":"))[:-1]},"models":[\n{models}]}}')
    head = {key: value for key, value in table.items() if key != "lists"}
    return f'{json.dumps(head)[:-1]},\n"lists":{{\n' + ",\n".join(lists) + "}}\n"


if __name__ == "__main__":
    sys.exit(main())
