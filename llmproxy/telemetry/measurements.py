"""Adds up durations and tokens of calls for OpenTelemetry's metrics, by provider, model, operation and error.

The SDK's own histograms take some 5 µs for each number, this takes 2 µs for an exchange. Begin reading at
`Measurements.add`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from llmproxy.exchange import Exchange
from llmproxy.telemetry.names import operation_name, provider_name

# The bounds that the conventions advise.
SECOND_BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BOUNDS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_MOST_SERIES = 2000
_LONGEST = 200


class CallKind(NamedTuple):
    """The attributes of a measurement. `error` is empty for a success."""

    provider: str
    operation: str
    model: str
    error: str


class Distribution:
    """A histogram: counts by bucket of `bounds`, sum, least and greatest."""

    __slots__ = ("bounds", "counts", "greatest", "least", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.least, self.greatest = float("inf"), float("-inf")

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        self.least = min(self.least, value)
        self.greatest = max(self.greatest, value)


class CallMeasurements:
    """The measurements of the calls of one kind."""

    __slots__ = ("cache_read", "cache_write", "durations", "first_chunks", "inputs", "outputs", "reasoning")

    def __init__(self) -> None:
        self.durations, self.first_chunks = Distribution(SECOND_BOUNDS), Distribution(SECOND_BOUNDS)
        self.inputs, self.outputs = Distribution(TOKEN_BOUNDS), Distribution(TOKEN_BOUNDS)
        self.cache_read = self.cache_write = self.reasoning = 0


class Measurements:
    """The measurements of all calls since the start, by kind. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self.by_kind: dict[CallKind, CallMeasurements] = {}

    def add(self, exchange: Exchange) -> None:
        """Count an exchange that ended, if a call was made for it."""
        calls = exchange.calls
        if not calls or exchange.model is None or exchange.ended_s is None:
            return
        last = calls[-1]
        measured = self._of_kind(exchange)
        began_s = exchange.started_s + last.started_s
        measured.durations.add(exchange.ended_s - began_s)
        if exchange.first_token_s is not None:
            measured.first_chunks.add(exchange.first_token_s - began_s)
        usage = exchange.summary.usage
        if usage is None:
            return
        if usage.input is not None:
            measured.inputs.add(usage.input)
        if usage.output is not None:
            measured.outputs.add(usage.output)
        measured.cache_read += usage.cache_read or 0
        measured.cache_write += usage.cache_write or 0
        measured.reasoning += usage.reasoning or 0

    def _of_kind(self, exchange: Exchange) -> CallMeasurements:
        last = exchange.calls[-1]
        kind = CallKind(
            provider_name(last.target.provider.type),
            operation_name(exchange.template),
            (last.model or exchange.model or "")[:_LONGEST],
            error_kind(exchange),
        )
        measured = self.by_kind.get(kind)
        if measured is None:
            if len(self.by_kind) >= _MOST_SERIES:
                kind = kind._replace(model="_OTHER")
            measured = self.by_kind.setdefault(kind, CallMeasurements())
        return measured


def error_kind(exchange: Exchange) -> str:
    """Return what the conventions call `error.type`: a status, else our code; empty for a success."""
    if exchange.outcome in ("complete", "cancelled") and (exchange.status or 0) < 400:
        return "cancelled" if exchange.outcome == "cancelled" else ""
    if exchange.error is not None:
        return exchange.error.code[:_LONGEST]
    return str(exchange.status) if (exchange.status or 0) >= 400 else exchange.outcome
