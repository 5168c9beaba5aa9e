"""Turns measurements into the SDK's metrics, under the chosen names. Begin reading at `metrics_of`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmproxy.telemetry.measurements import CallKind, CallMeasurements, Distribution, Measurements

_CUMULATIVE = AggregationTemporality.CUMULATIVE
Times = tuple[int, int]


def metrics_of(
    measured: Measurements,
    names: dict[str, str],
    resource: Resource,
    scope: InstrumentationScope,
    times_ns: Times,
) -> MetricsData:
    """Return everything measured so far. `times_ns` are the start of the process and now."""
    writer = _MetricWriter(measured, names, times_ns)
    scoped = ScopeMetrics(scope=scope, metrics=list(writer.metrics()), schema_url="")
    return MetricsData(resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[scoped], schema_url="")])


class _MetricWriter:
    def __init__(self, measured: Measurements, names: dict[str, str], times_ns: Times) -> None:
        self._kinds = [(self._attributes(kind, names), each) for kind, each in measured.by_kind.items()]
        self._names = names
        self._times_ns = times_ns

    def metrics(self) -> Iterator[Metric]:
        """Yield each metric that the chosen set of names has, and that has values."""
        for key, unit, about, read in _HISTOGRAMS:
            if key in self._names:
                yield from self._histogram(self._names[key], unit, about, [(dict(a), read(f)) for a, f in self._kinds])
        if "token_metric" in self._names:
            type_ = self._names["token_type"]
            inputs = [({**attributes, type_: "input"}, each.inputs) for attributes, each in self._kinds]
            outputs = [({**attributes, type_: "output"}, each.outputs) for attributes, each in self._kinds]
            yield from self._histogram(self._names["token_metric"], "{token}", "Tokens used.", [*inputs, *outputs])
        for key, about, count in _COUNTERS:
            if key in self._names:
                yield from self._counter(self._names[key], about, count)

    @staticmethod
    def _attributes(kind: CallKind, names: dict[str, str]) -> dict[str, str]:
        attributes = {
            names["provider"]: kind.provider,
            names["operation"]: kind.operation,
            names["request_model"]: kind.model,
        }
        return attributes | ({"error.type": kind.error} if kind.error else {})

    def _histogram(
        self, name: str, unit: str, about: str, rows: list[tuple[dict[str, str], Distribution]]
    ) -> Iterator[Metric]:
        start_ns, now_ns = self._times_ns
        points = [
            HistogramDataPoint(
                attributes=attributes,
                start_time_unix_nano=start_ns,
                time_unix_nano=now_ns,
                count=sum(each.counts),
                sum=each.total,
                bucket_counts=list(each.counts),
                explicit_bounds=each.bounds,
                min=each.least,
                max=each.greatest,
            )
            for attributes, each in rows
            if any(each.counts)
        ]
        if points:
            yield Metric(name, about, unit, Histogram(points, _CUMULATIVE))

    def _counter(self, name: str, about: str, count: Callable[[CallMeasurements], float]) -> Iterator[Metric]:
        start_ns, now_ns = self._times_ns
        points = [
            NumberDataPoint(
                attributes=attributes,
                start_time_unix_nano=start_ns,
                time_unix_nano=now_ns,
                value=int(count(each)),
            )
            for attributes, each in self._kinds
            if count(each)
        ]
        if points:
            yield Metric(name, about, "{token}", Sum(points, _CUMULATIVE, is_monotonic=True))


_HISTOGRAMS: tuple[tuple[str, str, str, Callable[[CallMeasurements], Distribution]], ...] = (
    ("duration_metric", "s", "Duration of calls to models.", lambda each: each.durations),
    ("first_chunk_metric", "s", "Time to the first content of streams.", lambda each: each.first_chunks),
    ("input_metric", "{token}", "Input tokens of a call.", lambda each: each.inputs),
    ("output_metric", "{token}", "Output tokens of a call.", lambda each: each.outputs),
)
_COUNTERS: tuple[tuple[str, str, Callable[[CallMeasurements], float]], ...] = (
    ("input_counter", "Input tokens.", lambda each: each.inputs.total),
    ("output_counter", "Output tokens.", lambda each: each.outputs.total),
    ("cache_read_counter", "Input tokens read from a cache.", lambda each: each.cache_read),
    ("cache_write_counter", "Input tokens written to a cache.", lambda each: each.cache_write),
    ("reasoning_counter", "Output tokens of reasoning.", lambda each: each.reasoning),
)
