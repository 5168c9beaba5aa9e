"""Counts every exchange once, as it ends, and every call to a provider.

`Metrics.record` runs on the hot path: one dict lookup, then plain increments; labels are built only for a new
combination. `prometheus.py` writes the counters for Prometheus, `provider_json.py` their JSON form. Every set of labels
is bounded: clients choose model names and methods, so everything beyond the limits counts as `other`. Begin at
`Metrics`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from llmproxy.call import Call
from llmproxy.dialects.usage import Usage
from llmproxy.exchange import Exchange
from llmproxy.metrics.activity import Activity
from llmproxy.metrics.histogram import PROXY_BOUNDS_S, Histogram
from llmproxy.metrics.quantiles import Quantiles
from llmproxy.metrics.tokens import TokenCounters
from llmproxy.metrics.websockets import WebSocketCounters

MAX_ATTEMPTS = 4
"""Attempts for one request beyond this number are counted with it."""

OTHER = "other"
UNCALLED = ("cache", "unknown_model", OTHER)
"""Why no provider was called for a request: it had a stored answer, it named an unknown model, or it was refused or
answered here for another reason."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
_MAX_MODELS = 200
_MAX_MODEL_LENGTH = 200
_MAX_KINDS = 200
_MAX_CALLS = 10_000
_MAX_BINDINGS = 5000
_MAX_DROPPED = 500
_INDEX = re.compile(r"\[\d+\]")
_MEMBER = re.compile(r"[\w.\[\]-]{1,100}", re.ASCII)
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")


class RequestLabels(NamedTuple):
    """Labels of client requests. `path` is the route's template; `status` is 499 when the client left without an
    answer.
    """

    method: str
    path: str
    status: str


@dataclass(slots=True, kw_only=True)
class RequestCounters:
    """Client requests with the same labels. `cancelled` counts clients that left before the end of the answer; `own`
    marks requests for our own pages. `proxy_times` are the durations to the head of the answer, without the reading of
    the request and the time that providers took.
    """

    own: bool
    durations: Histogram = field(default_factory=Histogram)
    proxy_times: Histogram = field(default_factory=lambda: Histogram(PROXY_BOUNDS_S))
    cancelled: int = 0


class LatencyLabels(NamedTuple):
    """Labels of call durations: coarser than CallLabels, since each combination costs three histograms."""

    provider: str
    endpoint: str
    stream: str
    outcome: str


@dataclass(slots=True, kw_only=True)
class Latency:
    """Durations of calls: to the end of the answer, to the first byte, and to the first token of streams."""

    total: Histogram = field(default_factory=Histogram)
    first_byte: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)


class SpeedLabels(NamedTuple):
    """Labels of speeds."""

    provider: str
    model: str


@dataclass(slots=True, kw_only=True)
class Speed:
    """Speed of calls to one model, without the calls that a client cancelled.

    `streamed_tokens` counts the output tokens of streams that reported usage, `streamed_s` the time of these streams
    from their first token to their end.
    """

    latency: Quantiles = field(default_factory=Quantiles)
    first_token: Quantiles = field(default_factory=Quantiles)
    streamed_tokens: int = 0
    streamed_s: float = 0.0


class CallLabels(NamedTuple):
    """Labels of calls to providers.

    `endpoint` is the route's template. `outcome` is `success`, `error`, `broken`, `incomplete` (a stream without its
    last event) or `cancelled`. `kind` names the error (`http_429`, `timeout`, an error code of ours) and is empty
    without one.
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

    `reports_usage` says that a successful answer to such a call reports usage; `usage_unknown` counts those that did
    not. `replaced` counts failed calls after which another target was called. `attempts` counts the calls by the number
    of the attempt, from 1.
    """

    latency: Latency
    speed: Speed
    reports_usage: bool
    count: int = 0
    attempts: list[int] = field(default_factory=lambda: [0] * MAX_ATTEMPTS)
    replaced: int = 0
    usage_unknown: int = 0

    def add(self, usage: Usage | None) -> None:
        """Count the tokens of one answer."""
        if not self.add_usage(usage):
            self.usage_unknown += self.reports_usage


# The counters of one kind of exchange, and its outcome.
_Binding = tuple[RequestCounters, CallCounters | None, str]


class Metrics:
    """All counters of one process. They outlive reloads.

    `in_flight` is the number of exchanges that have begun and not ended, `recorded` of those that have ended;
    `held_bytes` returns the bytes of bodies in memory. Other threads read the dicts while they grow: copy before
    iterating. `activity` belongs to the event loop's thread.
    """

    def __init__(self, held_bytes: Callable[[], int] = lambda: 0) -> None:
        self.held_bytes = held_bytes
        self.in_flight = self.recorded = 0
        self.requests: dict[RequestLabels, RequestCounters] = {}
        self.calls: dict[CallLabels, CallCounters] = {}
        self.latencies: dict[LatencyLabels, Latency] = {}
        self.speeds: dict[SpeedLabels, Speed] = {}
        self.activity = Activity()
        self.dropped: dict[tuple[str, str, str], int] = {}
        self.websockets = WebSocketCounters()
        self.uncalled = dict.fromkeys(UNCALLED, 0)
        self._bindings: dict[object, _Binding] = {}
        self._models: set[str] = set()
        self._kinds: set[str] = set()

    def begin(self) -> None:
        """Count an exchange that begins. Every call is followed by one call of `record`."""
        self.in_flight += 1

    def record(self, exchange: Exchange) -> None:
        """Count an exchange that ended. Called exactly once for each that began."""
        self.in_flight -= 1
        self.recorded += 1
        error, summary = exchange.error, exchange.summary
        target = exchange.calls[-1].target if exchange.calls else None  # as the property does, without a call
        # Everything that decides the labels is part of the key.
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
        if exchange.received_s is not None and exchange.answered_s is not None:
            own_s = exchange.answered_s - exchange.received_s - exchange.upstream_s
            requests.proxy_times.observe(own_s if own_s > 0.0 else 0.0)
        if calls is not None:
            calls.add(summary.usage)
            calls.add_cost(exchange.cost_usd, unknown=exchange.cost_usd is None and exchange.cost_unknown)
            opened = exchange.websocket is not None and exchange.answered_s  # calls are timed, not conversations
            self._time(calls, exchange, opened or ended_s)
        elif not requests.own:
            self.uncalled[_uncalled(exchange)] += 1
        if not requests.own:
            self.activity.count(exchange, outcome, ended_s)
        if exchange.call is not None and exchange.call.dropped:
            self._count_dropped(exchange)
        if exchange.websocket is not None:
            self.websockets.add(exchange.websocket)

    def _count_dropped(self, exchange: Exchange) -> None:
        """Count the fields that translation dropped, by path without indices."""
        provider = exchange.target.provider.name if exchange.target else ""
        dialect = exchange.endpoint.dialect.name if exchange.endpoint else ""
        for path in exchange.dropped:
            member = _INDEX.sub("[]", path)
            key = (dialect, provider, member if _MEMBER.fullmatch(member) else OTHER)
            if key not in self.dropped and len(self.dropped) >= _MAX_DROPPED:
                key = (dialect, provider, OTHER)
            self.dropped[key] = self.dropped.get(key, 0) + 1

    def _time(self, calls: CallCounters, exchange: Exchange, ended_s: float) -> None:
        """Count the last call, timed from its own start, and the failed calls before it."""
        calls.count += 1
        number, last, began_s = len(exchange.calls), exchange.calls[-1], exchange.started_s
        calls.attempts[number - 1 if number < MAX_ATTEMPTS else -1] += 1
        if number > 1:
            began_s += last.started_s
            for attempt, call in enumerate(exchange.calls[:-1]):
                self._record_failed(exchange, call, attempt)
        latency, cancelled = calls.latency, exchange.outcome == "cancelled"
        latency.total.observe(ended_s - began_s)
        if not cancelled:
            calls.speed.latency.observe(ended_s - began_s)
        if last.first_byte_s is not None:
            latency.first_byte.observe(last.first_byte_s - began_s)
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

    def _record_failed(self, exchange: Exchange, call: Call, attempt: int) -> None:
        """Count a failed call that another call replaced, so that the client saw nothing of it."""
        kind = f"http_{call.status}" if call.status is not None else self._kind(call.error or "error")
        labels = CallLabels(
            provider=call.target.provider.name,
            model=self._model(call.model or exchange.model, claim=call.model != exchange.model),
            endpoint=exchange.template,
            stream=_label(exchange.stream),
            status="none" if call.status is None else str(call.status),
            outcome="error",
            kind=kind,
        )
        calls = self._calls(labels, reports_usage=False)
        calls.count += 1
        calls.attempts[min(attempt, MAX_ATTEMPTS - 1)] += 1
        calls.replaced += 1
        if call.ended_s is not None:
            calls.latency.total.observe(call.ended_s - call.started_s)
            calls.speed.latency.observe(call.ended_s - call.started_s)

    def _bind(self, key: object, exchange: Exchange) -> _Binding:
        """Find or create the counters of exchanges like this one, and keep them under `key`."""
        status = "499" if exchange.status is None else str(exchange.status)
        method = exchange.method if exchange.method in _METHODS else OTHER
        path = exchange.template or "unmatched"
        requests = self.requests.setdefault(RequestLabels(method, path, status), RequestCounters(own=exchange.own))
        outcome, code = _judge(exchange)
        kind = self._kind(code)
        bound: _Binding = requests, None, outcome
        if exchange.target is not None:
            name = exchange.target.model or exchange.model
            # An unknown model name is likely a typing error of the client: it gets no label of its own.
            model = self._model(name, claim=status != "404" or name != exchange.model)
            labels = CallLabels(
                provider=exchange.target.provider.name,
                model=model,
                endpoint=path,
                stream=_label(exchange.stream),
                status=status,
                outcome=outcome,
                kind=kind,
            )
            calls = self._calls(labels, reports_usage=outcome != "error" and _reports_usage(exchange))
            bound = requests, calls, outcome
            if model != name and name is not None:
                return bound
        if len(self._bindings) >= _MAX_BINDINGS:
            self._bindings.clear()
        self._bindings[key] = bound
        return bound

    def _kind(self, code: str) -> str:
        """Return the label for an error code: providers choose some of them, any words and any number."""
        if code and code not in self._kinds:
            if len(self._kinds) >= _MAX_KINDS or not _KIND.fullmatch(code):
                return "error"
            self._kinds.add(code)
        return code

    def _model(self, name: str | None, *, claim: bool) -> str:
        """Return the label for a model's name; `claim` lets a new name take one of the limited places."""
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

    def _calls(self, labels: CallLabels, *, reports_usage: bool) -> CallCounters:
        calls = self.calls.get(labels)
        if calls is not None:
            return calls
        if len(self.calls) >= _MAX_CALLS and labels.model != OTHER:
            return self._calls(labels._replace(model=OTHER), reports_usage=reports_usage)
        coarse = LatencyLabels(labels.provider, labels.endpoint, labels.stream, labels.outcome)
        latency = self.latencies.setdefault(coarse, Latency())
        speed = self.speeds.setdefault(SpeedLabels(labels.provider, labels.model), Speed())
        self.calls[labels] = calls = CallCounters(latency=latency, speed=speed, reports_usage=reports_usage)
        return calls


def _uncalled(exchange: Exchange) -> str:
    """Return why no call was made, a name of UNCALLED."""
    if exchange.cache == "hit":
        return "cache"
    unknown = exchange.error is not None and exchange.error.code == "model_not_found"
    return "unknown_model" if unknown else OTHER


def _judge(exchange: Exchange) -> tuple[str, str]:
    """Return the outcome of the last call, and the kind of its error."""
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


def _reports_usage(exchange: Exchange) -> bool:
    """Return whether a successful answer to this call reports usage: the dialect's own calls do, except those that only
    count tokens.
    """
    endpoint = exchange.endpoint
    if endpoint is None or endpoint.path not in endpoint.dialect.paths:
        return False
    return endpoint.model and not endpoint.path.endswith("_tokens")


def _label(value: bool) -> str:
    return "true" if value else "false"
