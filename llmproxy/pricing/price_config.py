"""Read prices from the configuration: for all providers, and for one.

The hot path gets the values of `price.py`, which `PriceConfig.row` returns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from llmproxy.pricing.price import PriceRow, Rates
from llmproxy.settings import Strict

_LARGEST = 1e9
_TOKENS = re.compile(r"(\d+(?:\.\d+)?)\s*([km]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1000, "m": 1_000_000}


def _usd(value: object) -> object:
    """Keep pydantic from reading `true` as 1."""
    if isinstance(value, bool):
        raise ValueError(f"must be a price in USD, not {str(value).lower()}")
    return value


def _tokens(value: object) -> int:
    """Read `200k`, `1M` or 200000 as a number of tokens. Raises ValueError."""
    match = _TOKENS.fullmatch(str(value).strip()) if isinstance(value, (str, int)) else None
    if match is None or isinstance(value, bool):
        raise ValueError(f"invalid number of tokens: {value!r}; write a number, or one such as 200k or 1M")
    return int(float(match[1]) * _UNITS[match[2].lower()])


_Usd = Annotated[float, BeforeValidator(_usd), Field(ge=0, le=_LARGEST)]
_TOKENS_SCHEMA = WithJsonSchema({"type": ["integer", "string"], "pattern": r"^\d+(\.\d+)?\s*[kKmM]?$"})
_Tokens = Annotated[int, BeforeValidator(_tokens), _TOKENS_SCHEMA]


class RatesConfig(Strict):
    """Prices in USD of a million tokens; of one search, request, image or second where it says so."""

    input: _Usd | None = Field(default=None, description="Input tokens.", examples=[2.5])
    output: _Usd | None = Field(default=None, description="Output tokens.", examples=[10.0])
    cache_read: _Usd | None = Field(
        default=None, description="Input tokens that were read from the prompt cache; by default as `input`."
    )
    cache_write: _Usd | None = Field(
        default=None, description="Input tokens that were written to the prompt cache; by default as `input`."
    )
    cache_write_1h: _Usd | None = Field(
        default=None, description="The same for a cache of an hour; unknown by default, where an answer has them."
    )
    reasoning: _Usd | None = Field(default=None, description="Reasoning tokens; by default as `output`.")
    input_audio: _Usd | None = Field(default=None, description="Input tokens of audio; by default as `input`.")
    output_audio: _Usd | None = Field(default=None, description="Output tokens of audio; by default as `output`.")
    cache_read_audio: _Usd | None = Field(
        default=None, description="Cached input tokens of audio; by default as `cache_read`."
    )
    input_image: _Usd | None = Field(default=None, description="Input tokens of images; by default as `input`.")
    output_image: _Usd | None = Field(default=None, description="Output tokens of images; by default as `output`.")
    cache_read_image: _Usd | None = Field(
        default=None, description="Cached input tokens of images; by default as `cache_read`."
    )
    input_video: _Usd | None = Field(default=None, description="Input tokens of videos; by default as `input`.")
    output_video: _Usd | None = Field(default=None, description="Output tokens of videos; by default as `output`.")
    web_search: _Usd | None = Field(
        default=None, description="One web search of the provider; unknown by default, where an answer has some."
    )
    file_search: _Usd | None = Field(default=None, description="One file search of the provider; the same.")
    request: _Usd | None = Field(default=None, description="One request, beside its tokens.")

    def rates(self, above: Mapping[int, RatesConfig] | None = None) -> Rates:
        """Return the value for the hot path."""
        prices = {name: value for name in RatesConfig.model_fields if (value := getattr(self, name)) is not None}
        return Rates(**prices, above={str(start): each.rates() for start, each in (above or {}).items()})


class TierConfig(RatesConfig):
    """The prices of a service tier: those of the standard tier do not count for it."""

    above: dict[_Tokens, RatesConfig] = Field(
        default={}, description="Prices of requests with more input tokens, for the whole request."
    )


class PriceConfig(TierConfig):
    """The price of a model. It replaces the one in the table as a whole."""

    tiers: dict[str, TierConfig] = Field(
        default={},
        description="Prices of other service tiers, by the name in answers. Without a price here the cost of an answer "
        "from another tier is unknown.",
        examples=[{"batch": {"input": 1.25, "output": 5.0}}],
    )

    def row(self, pattern: str) -> PriceRow:
        """Return the value for the hot path."""
        tiers = {name.lower(): tier.rates(tier.above) for name, tier in self.tiers.items()}
        return PriceRow(names=[pattern], prices=self.rates(self.above), tiers=tiers)


PriceConfigs = dict[Annotated[str, Field(min_length=1)], PriceConfig]
