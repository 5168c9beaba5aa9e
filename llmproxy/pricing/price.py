"""The prices of one model, and what an answer costs by them.

Prices are in USD: of a million tokens, or of one search, request, image or second. Everything is kept as the price of
one token and its difference from the usual price, so that an answer costs a few multiplications. An unknown price of
something that was used makes the cost unknown. Begin reading at `Price.cost`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from llmproxy.dialects.usage import Usage, UsageDetails

_TOKENS = 1e-6


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Prices in USD of a million tokens; `web_search`, `file_search`, `request`, `image` and `second` of one.

    None is unknown. Cached, reasoning, audio and image tokens without a price of their own cost what the others do,
    those of an hour's cache excepted. `above` holds the prices of requests with more input tokens than its key, which
    count for the whole request: no vendor in the table charges the higher price for the part above alone.
    """

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    reasoning: float | None = None
    input_audio: float | None = None
    output_audio: float | None = None
    cache_read_audio: float | None = None
    input_image: float | None = None
    output_image: float | None = None
    cache_read_image: float | None = None
    input_video: float | None = None
    output_video: float | None = None
    web_search: float | None = None
    file_search: float | None = None
    request: float | None = None
    image: float | None = None
    second: float | None = None
    above: dict[str, Rates] = {}


class PriceSet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prices of the standard tier and of others, from a day on or always."""

    prices: Rates
    tiers: dict[str, Rates] = {}


class PriceRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The prices of a model in a table.

    In `names`, `x*` may be followed by a version, `x@` by a date, and `*x` may stand behind a region or a path. `later`
    holds the prices from a day on (`2027-01-01`, UTC), `hours` those of a part of the day (`["01:00", "04:00", ...]`,
    UTC).
    """

    names: list[str]
    prices: Rates
    tiers: dict[str, Rates] = {}
    later: list[tuple[str, PriceSet]] = msgspec.field(default=[], name="from")
    hours: list[tuple[str, str, Rates]] = []


class _PerToken:
    """Rates as factors of counts. A factor of what differs is the difference from the usual price."""

    __slots__ = (
        *("_above", "_audio", "_cache_read", "_cache_write", "_cache_write_1h", "_file_search", "_free", "_image"),
        *("_input", "_output", "_reasoning", "_request", "_video", "_web_search"),
    )

    def __init__(self, rates: Rates) -> None:
        self._input = None if rates.input is None else rates.input * _TOKENS
        self._output = None if rates.output is None else rates.output * _TOKENS
        usual_in, usual_out = rates.input or 0.0, rates.output or 0.0
        read, written = _or(rates.cache_read, usual_in), _or(rates.cache_write, usual_in)
        self._cache_read = (read - usual_in) * _TOKENS
        self._cache_write = (written - usual_in) * _TOKENS
        hour = rates.cache_write_1h
        self._cache_write_1h = None if hour is None else (hour - written) * _TOKENS
        self._reasoning = (_or(rates.reasoning, usual_out) - usual_out) * _TOKENS
        self._audio = _modality(rates, rates.input_audio, rates.output_audio, rates.cache_read_audio)
        self._image = _modality(rates, rates.input_image, rates.output_image, rates.cache_read_image)
        self._video = _modality(rates, rates.input_video, rates.output_video, None)
        self._web_search = rates.web_search
        self._file_search = rates.file_search
        self._request = rates.request or 0.0
        self._above = sorted(
            ((int(start), _PerToken(_over(rates, more))) for start, more in rates.above.items()),
            key=_start,
            reverse=True,
        )
        self._free = not self._above and not any(getattr(rates, name) for name in Rates.__struct_fields__)

    def cost(self, usage: Usage | None) -> float | None:
        """Return what an answer costs in USD; None where a price or a count is unknown."""
        if usage is None or usage.input is None:
            return 0.0 if self._free else None
        for start, above in self._above:
            if usage.input > start:
                return above.cost(usage)
        cost = self._usual(usage.input, usage.output)
        if cost is None:
            return None
        read, written = usage.cache_read or 0, usage.cache_write or 0
        if read or written:
            if read + written > usage.input:
                return None  # counts that contradict each other
            cost += read * self._cache_read + written * self._cache_write
        cost += (usage.reasoning or 0) * self._reasoning
        details = usage.details
        if isinstance(details, UsageDetails):
            more = self._beside(details, read)
            return None if more is None else cost + more
        return cost

    def _usual(self, tokens_in: int, tokens_out: int | None) -> float | None:
        """Return what so many tokens of text cost that were not cached, and the request."""
        if tokens_out is None:
            if self._output:
                return None
            tokens_out = 0
        input_price, output_price = self._input, self._output
        if (input_price is None and tokens_in) or (output_price is None and tokens_out):
            return None
        return self._request + tokens_in * (input_price or 0.0) + tokens_out * (output_price or 0.0)

    def _beside(self, details: UsageDetails, read: int) -> float | None:
        """Return what the details add to the usual price of the tokens."""
        cost = 0.0
        for price, number in (
            (self._cache_write_1h, details.cache_write_1h),
            (self._web_search, details.web_search),
            (self._file_search, details.file_search),
        ):
            if number:
                if price is None:
                    return None
                cost += number * price
        for prices, input_, output, cached in (
            (self._audio, details.input_audio, details.output_audio, details.cache_read_audio),
            (self._image, details.input_image, details.output_image, details.cache_read_image),
            (self._video, details.input_video, details.output_video, None),
        ):
            if prices is not None:
                if input_ and read and cached is None and prices.split_needed:
                    return None  # it is unknown which of them were cached
                cost += (input_ or 0) * prices.input + (output or 0) * prices.output + (cached or 0) * prices.cached
        return cost


class _Modality(msgspec.Struct, frozen=True, gc=False):
    """The rates of a token of audio, images or video, beside a token of text. `split_needed` says that its input has
    another price when it was cached."""

    input: float
    output: float
    cached: float
    split_needed: bool


def _modality(
    rates: Rates, input_price: float | None, output_price: float | None, cached_price: float | None
) -> _Modality | None:
    if input_price is None and output_price is None and cached_price is None:
        return None
    usual_in, usual_out = rates.input or 0.0, rates.output or 0.0
    input_, read = _or(input_price, usual_in), _or(rates.cache_read, usual_in)
    # A cached token is counted as input, as cached and as audio: what these three add must come to its own price.
    cached = _or(cached_price, read) - read - (input_ - usual_in)
    return _Modality(
        input=(input_ - usual_in) * _TOKENS,
        output=(_or(output_price, usual_out) - usual_out) * _TOKENS,
        cached=cached * _TOKENS,
        split_needed=cached != 0.0,
    )


def _or(price: float | None, usual: float) -> float:
    return usual if price is None else price


def _start(above: tuple[int, _PerToken]) -> int:
    return above[0]


def _over(rates: Rates, more: Rates) -> Rates:
    """Return `rates` with those of `more` in their place."""
    changes = {name: value for name in Rates.__struct_fields__ if (value := getattr(more, name)) not in (None, {})}
    return msgspec.structs.replace(rates, **{**changes, "above": {}})


class _Day:
    """Prices of one period."""

    __slots__ = ("standard", "tiers")

    def __init__(self, prices: Rates, tiers: Mapping[str, Rates]) -> None:
        self.standard = _PerToken(prices)
        self.tiers = {name: _PerToken(rates) for name, rates in tiers.items()}


class Price:
    """The prices of one model, ready for use. `source` says where they are from."""

    __slots__ = ("_hours", "_later", "_now", "row", "source")

    def __init__(self, row: PriceRow, source: str) -> None:
        self.row = row
        self.source = source
        self._now = _Day(row.prices, row.tiers)
        self._later = sorted(
            ((_day_s(day), _Day(each.prices, each.tiers)) for day, each in row.later), key=lambda each: each[0]
        )
        # The last one counts where two overlap.
        self._hours = [(_minute(start), _minute(end), _PerToken(rates)) for start, end, rates in reversed(row.hours)]

    def cost(self, usage: Usage | None, moment_s: float | None = None) -> float | None:
        """Return what an answer costs in USD; None where a price or a count is unknown.

        `moment_s` is the time of the call in seconds since 1970, by default now.
        """
        details = None if usage is None else usage.details
        tier = details.tier if isinstance(details, UsageDetails) else None
        day = self._now
        if self._later or self._hours:
            moment_s = time.time() if moment_s is None else moment_s
            for start_s, later in self._later:
                day = later if moment_s >= start_s else day
            if tier is None and self._hours:
                return (self._in_hours(moment_s) or day.standard).cost(usage)
        if tier is None:
            return day.standard.cost(usage)
        special = day.tiers.get(tier)
        return None if special is None else special.cost(usage)

    def _in_hours(self, moment_s: float) -> _PerToken | None:
        minute = int(moment_s // 60) % 1440
        for start, end, rates in self._hours:
            if start <= minute < end or (end < start and not end <= minute < start):
                return rates
        return None


def _day_s(day: str) -> float:
    """Return the moment at which a day begins, in UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def _minute(text: str) -> int:
    hours, minutes = text.split(":")[:2]
    return int(hours) * 60 + int(minutes)
