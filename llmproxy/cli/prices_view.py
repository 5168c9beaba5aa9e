"""Formats the prices of a model for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llmproxy.pricing.price import Price, Rates
from llmproxy.pricing.prices import format_usd

_UNITS = {
    "web_search": "for a web search",
    "file_search": "for a file search",
    "request": "for a request",
    "image": "for an image",
    "second": "for a second of audio",
}
_CONFIGURED = "the configuration"


def price_json(name: str, price: Price) -> dict[str, Any]:
    """Return the prices as they stand in a table, and where they are from."""
    row: dict[str, Any] = msgspec.to_builtins(price.row)
    return {"provider": name, "source": price.source or _CONFIGURED, **row}


def price_lines(name: str, price: Price) -> Iterator[str]:
    """Yield the lines of one provider. Prices are in USD."""
    row = price.row
    yield f"{name}: {', '.join(row.names)}"
    yield from _rates(row.prices)
    for tier, rates in row.tiers.items():
        yield f"  tier {tier}"
        yield from _rates(rates, "  ")
    for start, end, rates in row.hours:
        yield f"  from {start} to {end} UTC"
        yield from _rates(rates, "  ")
    for day, later in row.later:
        yield f"  from {day} on"
        yield from _rates(later.prices, "  ")
        for tier, rates in later.tiers.items():
            yield f"    tier {tier}"
            yield from _rates(rates, "    ")
    yield f"  source: {price.source or _CONFIGURED}"


def _rates(rates: Rates, indent: str = "") -> Iterator[str]:
    for field in Rates.__struct_fields__:
        price = getattr(rates, field)
        if isinstance(price, float):
            label = field.replace("_", " ")
            yield f"{indent}  {label:<18}${format_usd(price)} {_UNITS.get(field, 'for a million tokens')}"
    for start, above in rates.above.items():
        yield f"{indent}  above {int(start):,} input tokens, for the whole request"
        yield from _rates(above, indent + "  ")
