"""Writes the counters of `counters.py` for Prometheus and OpenMetrics.

A collector on its own registry turns the plain counters into metric families at each scrape, so that counting never
touches prometheus-client. The names of metrics stand here and nowhere else. Begin reading at `render`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from llmproxy.metrics.counters import (
    CallCounters,
    CallLabels,
    LatencyLabels,
    Metrics,
    RequestLabels,
)
from llmproxy.metrics.histogram import PROXY_BOUNDS_S, Histogram
from llmproxy.metrics.sample import Sample
from llmproxy.metrics.websockets import WebSocketCounters


def render(metrics: Metrics, version: str, accept: str, samples: Sequence[Sample] = ()) -> tuple[bytes, str]:
    """Return the metrics as text, and the content type: OpenMetrics when the Accept header asks for it, else
    Prometheus. `samples` come from other parts of the program.

    Call it in a thread: it takes milliseconds for thousands of series. Exchanges may be counted meanwhile.
    """
    registry = CollectorRegistry()
    registry.register(_MetricsCollector(metrics, version, samples))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _MetricsCollector(Collector):
    """Reads `metrics` again at every scrape."""

    def __init__(self, metrics: Metrics, version: str, samples: Sequence[Sample]) -> None:
        self._metrics = metrics
        self._samples = samples
        self._version = version

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield from _requests(metrics)
        calls = list(metrics.calls.copy().items())
        yield from _calls(calls)
        yield from _tokens(calls)
        yield from _costs(calls)
        yield from _latencies(metrics)
        yield _attempts(calls)
        yield _proxy_time(metrics)
        yield _gauge("llmproxy_in_flight_requests", "Client requests in progress.", metrics.in_flight)
        yield from _websockets(metrics.websockets)
        yield _gauge("llmproxy_held_bytes", "Bytes of bodies held in memory.", metrics.held_bytes())
        yield _counter(
            "llmproxy_dropped_total",
            "Request fields that translation dropped, by client dialect and field.",
            ("dialect", "provider", "member"),
            Counter(metrics.dropped.copy()),
        )
        yield from _samples(self._samples)
        info = GaugeMetricFamily("llmproxy_build_info", "The running version.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info


def _websockets(counters: WebSocketCounters) -> Iterator[Metric]:
    yield _gauge("llmproxy_websockets", "WebSockets that are open.", counters.open)
    figures = (
        ("llmproxy_websocket_frames_total", "Frames", counters.client_frames, counters.provider_frames),
        ("llmproxy_websocket_bytes_total", "Bytes", counters.client_bytes, counters.provider_bytes),
    )
    for name, what, client, provider in figures:
        counts: Counter[tuple[str, ...]] = Counter({("client",): client, ("provider",): provider})
        yield _counter(name, f"{what} of closed WebSockets, by who sent them.", ("sender",), counts)


def _samples(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Yield a family for each name."""
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for sample in samples:
        family = families.get(sample.name)
        if family is None:
            kind = CounterMetricFamily if sample.counter else GaugeMetricFamily
            names = [name for name, _ in sample.labels]
            family = families[sample.name] = kind(sample.name, sample.help, labels=names)
        family.add_metric([value for _, value in sample.labels], sample.value)
    yield from families.values()


def _requests(metrics: Metrics) -> Iterator[Metric]:
    labels = RequestLabels._fields
    total = CounterMetricFamily("http_requests_total", "Client requests by route and status.", labels=labels)
    seconds = HistogramMetricFamily(
        "http_request_duration_seconds", "Duration from a client's request to the end of its answer.", labels=labels
    )
    cancelled: Counter[str] = Counter()
    for key, requests in sorted(metrics.requests.copy().items()):
        total.add_metric(key, _observe(seconds, key, requests.durations))
        cancelled[key.path] += requests.cancelled
    left = CounterMetricFamily(
        "llmproxy_client_cancelled_total",
        "Client requests whose client left before the end of the answer.",
        labels=["path"],
    )
    for path, count in cancelled.items():
        left.add_metric([path], count)
    yield from (total, seconds, left)


def _calls(calls: Iterable[tuple[CallLabels, CallCounters]]) -> Iterator[Metric]:
    names = ("provider", "model", "endpoint", "stream", "status", "outcome")
    requests: Counter[tuple[str, ...]] = Counter()
    errors: Counter[tuple[str, ...]] = Counter()
    for labels, counters in calls:
        requests[labels[: len(names)]] += counters.count
        if labels.kind:
            errors[labels.provider, labels.kind] += counters.count
    yield _counter(
        "llmproxy_provider_requests_total", "Calls to providers, including failed attempts.", names, requests
    )
    yield _counter(
        "llmproxy_provider_errors_total", "Calls to providers that failed, by kind.", ("provider", "kind"), errors
    )


def _tokens(calls: Iterable[tuple[CallLabels, CallCounters]]) -> Iterator[Metric]:
    tokens: Counter[tuple[str, ...]] = Counter()
    unknown: Counter[tuple[str, ...]] = Counter()
    for labels, counters in calls:
        for kind, number in counters.tokens:
            if number is not None:
                tokens[labels.provider, labels.model, kind] += number
        if counters.usage_unknown:
            unknown[labels.provider, labels.model] += counters.usage_unknown
    yield _counter(
        "llmproxy_tokens_total",
        "Tokens, as reported by providers: input includes cache_read and cache_write, output includes reasoning.",
        ("provider", "model", "type"),
        tokens,
    )
    yield _counter(
        "llmproxy_usage_unknown_total",
        "Answers without token usage.",
        ("provider", "model"),
        unknown,
    )


def _costs(calls: Iterable[tuple[CallLabels, CallCounters]]) -> Iterator[Metric]:
    labels = ["provider", "model"]
    costs = CounterMetricFamily("llmproxy_cost_usd_total", "Cost of calls to providers in USD.", labels=labels)
    unknown: Counter[tuple[str, ...]] = Counter()
    sums: dict[tuple[str, str], float] = {}
    for key, counters in calls:
        if counters.cost_usd is not None:
            sums[key.provider, key.model] = sums.get((key.provider, key.model), 0.0) + counters.cost_usd
        if counters.cost_unknown:
            unknown[key.provider, key.model] += counters.cost_unknown
    for names, cost in sorted(sums.items()):
        costs.add_metric(names, cost)
    yield costs
    yield _counter("llmproxy_cost_unknown_total", "Calls whose cost is unknown.", ("provider", "model"), unknown)


def _latencies(metrics: Metrics) -> Iterator[Metric]:
    latencies = sorted(metrics.latencies.copy().items())
    for name, help_text, part in (
        (
            "llmproxy_provider_request_duration_seconds",
            "Duration of calls to providers, to the end of the answer.",
            "total",
        ),
        (
            "llmproxy_provider_first_byte_seconds",
            "Duration of calls to providers, to the first byte of the answer.",
            "first_byte",
        ),
        ("llmproxy_provider_first_token_seconds", "Duration of streamed calls, to the first token.", "first_token"),
    ):
        family = HistogramMetricFamily(name, help_text, labels=LatencyLabels._fields)
        for key, latency in latencies:
            histogram: Histogram = getattr(latency, part)
            if any(histogram.counts):
                _observe(family, key, histogram)
        yield family


def _attempts(calls: Iterable[tuple[CallLabels, CallCounters]]) -> Metric:
    counts: Counter[tuple[str, ...]] = Counter()
    for labels, counters in calls:
        for number, count in enumerate(counters.attempts, 1):
            if count:
                counts[labels.provider, labels.model, str(number), labels.outcome] += count
    return _counter(
        "llmproxy_upstream_attempts_total",
        "Calls to providers by the number of the attempt: 1 is the first for a request, 4 all from the fourth.",
        ("provider", "model", "attempt", "outcome"),
        counts,
    )


def _proxy_time(metrics: Metrics) -> Metric:
    """Return the time that the proxy itself added."""
    family = HistogramMetricFamily(
        "llmproxy_proxy_seconds",
        "Time from a whole request to the head of its answer, without the time that providers took. Waiting for a "
        "limit or for the next retry counts.",
        labels=["path"],
    )
    by_path: dict[str, Histogram] = {}
    for labels, requests in sorted(metrics.requests.copy().items()):
        if any(requests.proxy_times.counts):
            by_path.setdefault(labels.path, Histogram(PROXY_BOUNDS_S)).add(requests.proxy_times)
    for path, histogram in by_path.items():
        _observe(family, (path,), histogram)
    return family


def _observe(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> int:
    """Add `histogram` to `family`; return the number of observations."""
    sum_s = histogram.sum_s
    count, buckets = 0, []
    for le, observed in zip((*map(str, histogram.bounds_s), "+Inf"), histogram.counts.copy(), strict=True):
        count += observed
        buckets.append((le, float(count)))
    family.add_metric(labels, buckets, sum_s)
    return count


def _counter(name: str, help_text: str, labels: tuple[str, ...], counts: Counter[tuple[str, ...]]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for key, count in sorted(counts.items()):
        family.add_metric(key, count)
    return family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)
