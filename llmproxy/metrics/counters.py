"""What is counted: every exchange once, as it ends, and every call to a provider.

`Metrics.record` runs on the hot path: one dict lookup, then plain increments; labels are made only when a combination
is new. How the figures look to Prometheus is `exposition.py`; this module writes the JSON form. Every label set is
bounded: clients choose model names and methods, so what is beyond the limits counts as `other`. Begin at `Metrics`.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from llmproxy.call import Attempt
from llmproxy.dialects.base import Usage
from llmproxy.exchange import Exchange
from llmproxy.metrics.activity import Activity
from llmproxy.metrics.quantiles import Quantiles
from llmproxy.metrics.tokens import TokenCounters, sum_tokens

# Upper bounds of the histograms' buckets, in seconds; the last bucket has none.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

OTHER = "other"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
_MAX_MODELS = 1000
_MAX_MODEL_LENGTH = 200
_MAX_CALLS = 10_000
_MAX_BINDINGS = 5000
_MAX_DROPPED = 500
_INDEX = re.compile(r"\[\d+\]")
_MEMBER = re.compile(r"[\w.\[\]-]{1,100}", re.ASCII)
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Histogram:
    """How long things took: `counts` per bucket of BOUNDS_S (one more for what is longer), and their sum."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; a bucket includes its bound."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class RequestLabels(NamedTuple):
    """What tells client requests apart: `path` is a route's template, `status` 499 when the client left unanswered."""

    method: str
    path: str
    status: str


@dataclass(slots=True, kw_only=True)
class RequestCounters:
    """Client requests with the same labels. `cancelled` are those whose client left before the end of the answer,
    `own` says that they are for pages of ours.
    """

    own: bool
    durations: Histogram = field(default_factory=Histogram)
    cancelled: int = 0


class LatencyLabels(NamedTuple):
    """What tells durations of calls apart: coarser than CallLabels, since each costs three histograms."""

    provider: str
    endpoint: str
    stream: str
    outcome: str


@dataclass(slots=True, kw_only=True)
class Latency:
    """How long calls took: to their end, to the first byte, and to the first token of those that stream."""

    total: Histogram = field(default_factory=Histogram)
    first_byte: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)


class SpeedLabels(NamedTuple):
    """What tells speeds apart."""

    provider: str
    model: str


@dataclass(slots=True, kw_only=True)
class Speed:
    """How fast calls to one model are, but those that a client cancelled.

    `streamed_tokens` are the output tokens of streams that said their number, `streamed_s` the time that these took
    from their first token to their end.
    """

    latency: Quantiles = field(default_factory=Quantiles)
    first_token: Quantiles = field(default_factory=Quantiles)
    streamed_tokens: int = 0
    streamed_s: float = 0.0


class CallLabels(NamedTuple):
    """What tells calls to providers apart.

    `endpoint` is the route's template. `outcome` is `success`, `error`, `broken`, `incomplete` (a stream without its
    last event) or `cancelled`, and `kind` names the error: `http_429`, `timeout`, a code of ours; else it is empty.
    """

    provider: str
    model: str
    endpoint: str
    stream: str
    status: str
    outcome: str
    kind: str


@dataclass(slots=True, kw_only=True)
class CallCounters(TokenCounters):
    """Calls with the same labels.

    `counts_usage` says that a good answer to such a call tells its usage; `usage_unknown` are those that did not.
    `replaced` are those that another target took over from.
    """

    latency: Latency
    speed: Speed
    counts_usage: bool
    count: int = 0
    replaced: int = 0
    usage_unknown: int = 0

    def add(self, usage: Usage | None) -> None:
        """Count what one answer said about its tokens."""
        if not self.add_usage(usage):
            self.usage_unknown += self.counts_usage


# What exchanges alike are counted in, and their outcome.
_Binding = tuple[RequestCounters, CallCounters | None, str]


class Metrics:
    """All figures of one process; outlives reloads.

    `in_flight` is the number of exchanges that began and did not end, `held_bytes` says how many bytes of bodies are in
    memory. The dicts are read by other threads while they grow: copy before walking; `activity` is for the event loop's
    thread alone.
    """

    def __init__(self, held_bytes: Callable[[], int] = lambda: 0) -> None:
        self.held_bytes = held_bytes
        self.in_flight = 0
        self.requests: dict[RequestLabels, RequestCounters] = {}
        self.calls: dict[CallLabels, CallCounters] = {}
        self.latencies: dict[LatencyLabels, Latency] = {}
        self.speeds: dict[SpeedLabels, Speed] = {}
        self.activity = Activity()
        self.dropped: dict[tuple[str, str, str], int] = {}
        self._bindings: dict[object, _Binding] = {}
        self._models: set[str] = set()

    def begin(self) -> None:
        """An exchange begins. Each call is followed by one of `record`."""
        self.in_flight += 1

    def record(self, exchange: Exchange) -> None:
        """An exchange ended: count it. Called exactly once for each that began."""
        self.in_flight -= 1
        target, error, summary = exchange.target, exchange.error, exchange.summary
        # Whatever decides about labels is in the key: what it maps to is worked out once.
        key = (
            exchange.method,
            exchange.template,
            exchange.status,
            exchange.outcome,
            None if target is None else (target.provider.name, target.model or exchange.model, exchange.stream),
            None if error is None else (error.code, error.status),
            summary.error is None,
        )
        requests, calls, outcome = self._bindings.get(key) or self._bind(key, exchange)
        ended_s = exchange.ended_s or time.monotonic()
        requests.durations.observe(ended_s - exchange.started_s)
        if exchange.outcome == "cancelled":
            requests.cancelled += 1
        if calls is not None:
            calls.add(summary.usage)
            self._time(calls, exchange, ended_s)
        if not requests.own:
            self.activity.count(exchange, outcome, ended_s)
        if exchange.dropped:
            self._count_dropped(exchange)

    def _count_dropped(self, exchange: Exchange) -> None:
        """Count what translation left behind, by the member's path without its indices."""
        provider = exchange.target.provider.name if exchange.target else ""
        dialect = exchange.endpoint.dialect.name if exchange.endpoint else ""
        for path in exchange.dropped:
            member = _INDEX.sub("[]", path)
            key = (dialect, provider, member if _MEMBER.fullmatch(member) else OTHER)
            if key not in self.dropped and len(self.dropped) >= _MAX_DROPPED:
                key = (dialect, provider, OTHER)
            self.dropped[key] = self.dropped.get(key, 0) + 1

    def _time(self, calls: CallCounters, exchange: Exchange, ended_s: float) -> None:
        """Count the call that answered (or failed last), timed from where it began, and those that failed before it."""
        calls.count += 1
        began_s = exchange.started_s
        if len(exchange.attempts) > 1:
            began_s += exchange.attempts[-1].started_s
            for attempt in exchange.attempts[:-1]:
                self._record_failed(exchange, attempt)
        latency, cancelled = calls.latency, exchange.outcome == "cancelled"
        latency.total.observe(ended_s - began_s)
        if not cancelled:
            calls.speed.latency.observe(ended_s - began_s)
        if exchange.first_byte_s is not None:
            latency.first_byte.observe(exchange.first_byte_s - began_s)
        if exchange.first_token_s is not None:
            latency.first_token.observe(exchange.first_token_s - began_s)
            if not cancelled:
                self._time_stream(calls.speed, exchange, exchange.first_token_s, began_s, ended_s)

    def _time_stream(
        self, speed: Speed, exchange: Exchange, first_token_s: float, began_s: float, ended_s: float
    ) -> None:
        speed.first_token.observe(first_token_s - began_s)
        usage = exchange.summary.usage
        if usage is not None and usage.output is not None:
            speed.streamed_tokens += usage.output
            speed.streamed_s += ended_s - first_token_s

    def _record_failed(self, exchange: Exchange, attempt: Attempt) -> None:
        """Count a call that another one replaced, so that its client saw nothing of it."""
        if attempt.status is not None:
            kind = f"http_{attempt.status}"
        else:
            kind = attempt.error if attempt.error and _KIND.fullmatch(attempt.error) else "error"
        labels = CallLabels(
            provider=attempt.provider,
            model=self._model(attempt.model or exchange.model, claim=attempt.model != exchange.model),
            endpoint=exchange.template,
            stream=_word(exchange.stream),
            status="none" if attempt.status is None else str(attempt.status),
            outcome="error",
            kind=kind,
        )
        calls = self._calls(labels, counts_usage=False)
        calls.count += 1
        calls.replaced += 1
        if attempt.ended_s is not None:
            calls.latency.total.observe(attempt.ended_s - attempt.started_s)
            calls.speed.latency.observe(attempt.ended_s - attempt.started_s)

    def _bind(self, key: object, exchange: Exchange) -> _Binding:
        """Find or make what exchanges like this one are counted in, and remember it under `key`."""
        status = "499" if exchange.status is None else str(exchange.status)
        method = exchange.method if exchange.method in _METHODS else OTHER
        path = exchange.template or "unmatched"
        requests = self.requests.setdefault(RequestLabels(method, path, status), RequestCounters(own=exchange.own))
        outcome, kind = _judge(exchange)
        bound: _Binding = requests, None, outcome
        if exchange.target is not None:
            name = exchange.target.model or exchange.model
            # A name of a client that nobody answered is as likely a typing error: it gets no label of its own.
            model = self._model(name, claim=status != "404" or name != exchange.model)
            labels = CallLabels(
                provider=exchange.target.provider.name,
                model=model,
                endpoint=path,
                stream=_word(exchange.stream),
                status=status,
                outcome=outcome,
                kind=kind,
            )
            calls = self._calls(labels, counts_usage=outcome != "error" and _tells_usage(exchange))
            bound = requests, calls, outcome
            if model != name and name is not None:
                return bound
        if len(self._bindings) >= _MAX_BINDINGS:
            self._bindings.clear()
        self._bindings[key] = bound
        return bound

    def _model(self, name: str | None, *, claim: bool) -> str:
        """The label for a model's name; a new name takes one of the places when `claim` is set."""
        if name is None or name in self._models:
            return name or ""
        if not claim or len(self._models) >= _MAX_MODELS or len(name) > _MAX_MODEL_LENGTH:
            return OTHER
        try:
            name.encode()
        except UnicodeEncodeError:
            return OTHER
        self._models.add(name)
        return name

    def _calls(self, labels: CallLabels, *, counts_usage: bool) -> CallCounters:
        found = self.calls.get(labels)
        if found is not None:
            return found
        if len(self.calls) >= _MAX_CALLS and labels.model != OTHER:
            return self._calls(labels._replace(model=OTHER), counts_usage=counts_usage)
        coarse = LatencyLabels(labels.provider, labels.endpoint, labels.stream, labels.outcome)
        latency = self.latencies.setdefault(coarse, Latency())
        speed = self.speeds.setdefault(SpeedLabels(labels.provider, labels.model), Speed())
        self.calls[labels] = calls = CallCounters(latency=latency, speed=speed, counts_usage=counts_usage)
        return calls

    def as_json(self, providers: Iterable[str] = ()) -> dict[str, object]:
        """The figures by provider; `providers` are listed even before their first call.

        Times are in seconds. What nobody knows is null: a success rate without calls, tokens that were never said.
        """
        calls, latencies = self.calls.copy(), self.latencies.copy()
        names = dict.fromkeys([*providers, *sorted({labels.provider for labels in calls})])
        return {name: _figures(name, calls, latencies) for name in names}


def _judge(exchange: Exchange) -> tuple[str, str]:
    """The outcome of the last call, and the kind of its error."""
    error, status = exchange.error, exchange.status or 0
    if exchange.outcome == "cancelled":
        return "cancelled", ""
    if error is not None:
        kind = "timeout" if error.status == 504 else error.code
        return ("broken" if exchange.outcome == "broken" else "error"), kind
    if exchange.outcome == "broken":
        return "broken", "broken"
    if status >= 400:
        return "error", f"http_{status}"
    if exchange.summary.error is not None:
        return "error", "stream_error" if exchange.stream else "reply_error"
    if exchange.outcome == "incomplete":
        return "incomplete", "incomplete"
    return "success", ""


def _tells_usage(exchange: Exchange) -> bool:
    """Whether a good answer to this call says what it used: a dialect's own calls do, but for those that only count."""
    endpoint = exchange.endpoint
    if endpoint is None or endpoint.path not in endpoint.dialect.paths:
        return False
    return endpoint.model and not endpoint.path.endswith("_tokens")


def _word(value: bool) -> str:
    return "true" if value else "false"


def _figures(
    provider: str, all_calls: dict[CallLabels, CallCounters], latencies: dict[LatencyLabels, Latency]
) -> dict[str, object]:
    """One provider's part of the JSON form. Calls that a client cancelled are neither successes nor errors."""
    rows = [(labels, calls) for labels, calls in all_calls.items() if labels.provider == provider]
    total = sum(calls.count for _, calls in rows)
    cancelled = sum(calls.count for labels, calls in rows if labels.outcome == "cancelled")
    succeeded = sum(calls.count for labels, calls in rows if labels.outcome == "success")
    errors: dict[str, int] = {}
    for labels, calls in rows:
        if labels.kind:
            errors[labels.kind] = errors.get(labels.kind, 0) + calls.count
    times = [t for labels, t in latencies.items() if labels.provider == provider and labels.outcome != "cancelled"]
    return {
        "total_requests": total,
        "success_rate": round(succeeded / (total - cancelled), 6) if total > cancelled else None,
        "avg_response_time": _mean(latency.total for latency in times),
        "avg_first_byte_time": _mean(latency.first_byte for latency in times),
        "avg_first_token_time": _mean(latency.first_token for latency in times),
        "cancelled": cancelled,
        "error_counts": dict(sorted(errors.items())),
        "tokens": sum_tokens(calls for _, calls in rows),
        "usage_unknown": sum(calls.usage_unknown for _, calls in rows),
    }


def _mean(histograms: Iterable[Histogram]) -> float | None:
    known = list(histograms)
    count = sum(sum(histogram.counts) for histogram in known)
    return round(sum(histogram.sum_s for histogram in known) / count, 6) if count else None
