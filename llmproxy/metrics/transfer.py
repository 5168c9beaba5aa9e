"""The counters of a worker as plain data, and their sum over several workers.

Workers count alone. Whoever shows their counters takes the data of all of them and adds it up into one `Metrics`, which
pages then read like that of a single process. Times are `time.monotonic()`, which the processes of a machine share.
Begin reading at `state_of` and `add_state`.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from llmproxy.metrics.activity import MAX_CLIENTS, MAX_SESSIONS, Activity, ActivityCounters
from llmproxy.metrics.counters import (
    CallCounters,
    CallLabels,
    Latency,
    LatencyLabels,
    Metrics,
    RequestCounters,
    RequestLabels,
    Speed,
    SpeedLabels,
)
from llmproxy.metrics.histogram import Histogram
from llmproxy.metrics.tokens import TokenCounters
from llmproxy.metrics.websockets import WebSocketCounters
from llmproxy.wire.text import replace_surrogates


class HistogramState(msgspec.Struct, array_like=True, frozen=True):
    """A `Histogram` without its bounds."""

    counts: list[int]
    sum_s: float


class TokenState(msgspec.Struct, array_like=True, frozen=True):
    """A `TokenCounters`."""

    input: int | None
    output: int | None
    cache_read: int | None
    cache_write: int | None
    reasoning: int | None
    cost_usd: float | None
    cost_unknown: int


class RequestState(msgspec.Struct, array_like=True, frozen=True):
    """A `RequestCounters` with its labels."""

    labels: RequestLabels
    own: bool
    durations: HistogramState
    proxy_times: HistogramState
    cancelled: int


class LatencyState(msgspec.Struct, array_like=True, frozen=True):
    """A `Latency` with its labels."""

    labels: LatencyLabels
    total: HistogramState
    first_byte: HistogramState
    first_token: HistogramState


class SpeedState(msgspec.Struct, array_like=True, frozen=True):
    """A `Speed` with its labels; the two distributions are what `Quantiles.dump` returns."""

    labels: SpeedLabels
    latency: bytes
    first_token: bytes
    streamed_tokens: int
    streamed_s: float


class CallState(msgspec.Struct, array_like=True, frozen=True):
    """A `CallCounters` with its labels."""

    labels: CallLabels
    reports_usage: bool
    count: int
    attempts: list[int]
    replaced: int
    usage_unknown: int
    tokens: TokenState


class ClientState(msgspec.Struct, array_like=True, frozen=True):
    """An `ActivityCounters` with the name of its client or session."""

    name: str
    client: str
    first_s: float
    last_s: float
    requests: int
    succeeded: int
    cancelled: int
    spent_s: float
    tokens: TokenState


class ActivityState(msgspec.Struct, array_like=True, frozen=True):
    """An `Activity`. `rate` has the events of each second."""

    rate: list[tuple[int, int]]
    clients: list[ClientState]
    sessions: list[ClientState]
    sessions_begun: int


class MetricsState(msgspec.Struct, array_like=True, frozen=True):
    """A `Metrics`. `activity` is None where it was not asked for: it may be large."""

    in_flight: int
    held_bytes: int
    requests: list[RequestState]
    calls: list[CallState]
    latencies: list[LatencyState]
    speeds: list[SpeedState]
    dropped: list[tuple[tuple[str, str, str], int]]
    uncalled: dict[str, int]
    activity: ActivityState | None
    websockets: WebSocketCounters


def state_of(metrics: Metrics, *, activity: bool = False) -> MetricsState:
    """Return the counters as they are now. With `activity` it belongs in the event loop's thread."""
    return MetricsState(
        in_flight=metrics.in_flight,
        held_bytes=metrics.held_bytes(),
        requests=[
            RequestState(labels, each.own, _histogram(each.durations), _histogram(each.proxy_times), each.cancelled)
            for labels, each in metrics.requests.copy().items()
        ],
        calls=[_call(labels, each) for labels, each in metrics.calls.copy().items()],
        latencies=[
            LatencyState(labels, _histogram(each.total), _histogram(each.first_byte), _histogram(each.first_token))
            for labels, each in metrics.latencies.copy().items()
        ],
        speeds=[
            SpeedState(labels, each.latency.dump(), each.first_token.dump(), each.streamed_tokens, each.streamed_s)
            for labels, each in metrics.speeds.copy().items()
        ],
        dropped=list(metrics.dropped.copy().items()),
        uncalled=metrics.uncalled.copy(),
        activity=_activity(metrics.activity) if activity else None,
        websockets=replace(metrics.websockets),
    )


def add_state(metrics: Metrics, state: MetricsState) -> None:
    """Add the counters of another process to `metrics`, all but `held_bytes`, which is not counted there."""
    metrics.in_flight += state.in_flight
    metrics.websockets.open += state.websockets.open
    metrics.websockets.add(state.websockets)
    for request in state.requests:
        mine = metrics.requests.setdefault(request.labels, RequestCounters(own=request.own))
        _add_histogram(mine.durations, request.durations)
        _add_histogram(mine.proxy_times, request.proxy_times)
        mine.cancelled += request.cancelled
    for row in state.latencies:
        latency = metrics.latencies.setdefault(row.labels, Latency())
        _add_histogram(latency.total, row.total)
        _add_histogram(latency.first_byte, row.first_byte)
        _add_histogram(latency.first_token, row.first_token)
    for part in state.speeds:
        speed = metrics.speeds.setdefault(part.labels, Speed())
        speed.latency.add_dump(part.latency)
        speed.first_token.add_dump(part.first_token)
        speed.streamed_tokens += part.streamed_tokens
        speed.streamed_s += part.streamed_s
    for call in state.calls:
        _add_call(metrics, call)
    for key, count in state.dropped:
        metrics.dropped[key] = metrics.dropped.get(key, 0) + count
    for reason, count in state.uncalled.items():
        metrics.uncalled[reason] = metrics.uncalled.get(reason, 0) + count
    if state.activity is not None:
        _add_activity(metrics.activity, state.activity)


def _histogram(histogram: Histogram) -> HistogramState:
    return HistogramState(histogram.counts.copy(), histogram.sum_s)


def _add_histogram(histogram: Histogram, state: HistogramState) -> None:
    histogram.counts = [mine + theirs for mine, theirs in zip(histogram.counts, state.counts, strict=True)]
    histogram.sum_s += state.sum_s


def _call(labels: CallLabels, calls: CallCounters) -> CallState:
    return CallState(
        labels=labels,
        reports_usage=calls.reports_usage,
        count=calls.count,
        attempts=calls.attempts.copy(),
        replaced=calls.replaced,
        usage_unknown=calls.usage_unknown,
        tokens=_tokens(calls),
    )


def _add_call(metrics: Metrics, state: CallState) -> None:
    calls = metrics.calls.get(state.labels)
    if calls is None:
        coarse = LatencyLabels(state.labels.provider, state.labels.endpoint, state.labels.stream, state.labels.outcome)
        calls = metrics.calls[state.labels] = CallCounters(
            latency=metrics.latencies.setdefault(coarse, Latency()),
            speed=metrics.speeds.setdefault(SpeedLabels(state.labels.provider, state.labels.model), Speed()),
            reports_usage=state.reports_usage,
        )
    calls.count += state.count
    calls.attempts = [mine + theirs for mine, theirs in zip(calls.attempts, state.attempts, strict=True)]
    calls.replaced += state.replaced
    calls.usage_unknown += state.usage_unknown
    _add_tokens(calls, state.tokens)


def _tokens(counters: TokenCounters) -> TokenState:
    return TokenState(
        counters.input,
        counters.output,
        counters.cache_read,
        counters.cache_write,
        counters.reasoning,
        counters.cost_usd,
        counters.cost_unknown,
    )


def _add_tokens(counters: TokenCounters, state: TokenState) -> None:
    """Add what is known; what nobody knows stays unknown."""
    counters.input = _sum(counters.input, state.input)
    counters.output = _sum(counters.output, state.output)
    counters.cache_read = _sum(counters.cache_read, state.cache_read)
    counters.cache_write = _sum(counters.cache_write, state.cache_write)
    counters.reasoning = _sum(counters.reasoning, state.reasoning)
    if state.cost_usd is not None:
        counters.cost_usd = (counters.cost_usd or 0.0) + state.cost_usd
    counters.cost_unknown += state.cost_unknown


def _sum(mine: int | None, theirs: int | None) -> int | None:
    return mine if theirs is None else (mine or 0) + theirs


def _activity(activity: Activity) -> ActivityState:
    return ActivityState(
        rate=activity.rate.events(),
        clients=[_client(name, each) for name, each in activity.clients.items()],
        sessions=[_client(name, each) for name, each in activity.sessions.items()],
        sessions_begun=activity.sessions_begun,
    )


def _client(name: str, counters: ActivityCounters) -> ClientState:
    return ClientState(
        name=replace_surrogates(name),
        client=replace_surrogates(counters.client),
        first_s=counters.first_s,
        last_s=counters.last_s,
        requests=counters.requests,
        succeeded=counters.succeeded,
        cancelled=counters.cancelled,
        spent_s=counters.spent_s,
        tokens=_tokens(counters),
    )


def _add_activity(activity: Activity, state: ActivityState) -> None:
    for second, count in state.rate:
        activity.rate.add(second, count)
    _add_clients(activity.clients, state.clients, MAX_CLIENTS)
    before = len(activity.sessions)
    _add_clients(activity.sessions, state.sessions, MAX_SESSIONS)
    # A session that several workers know is one session.
    known_twice = before + len(state.sessions) - len(activity.sessions)
    activity.sessions_begun += max(state.sessions_begun - known_twice, 0)


def _add_clients(rows: dict[str, ActivityCounters], states: list[ClientState], limit: int) -> None:
    """Add the counters of clients or sessions, the most recent last, and keep the most recent."""
    for state in states:
        mine = rows.setdefault(state.name, ActivityCounters(client=state.client, first_s=state.first_s))
        if state.last_s >= mine.last_s:
            mine.client, mine.last_s = state.client, state.last_s
        mine.first_s = min(mine.first_s, state.first_s)
        mine.requests += state.requests
        mine.succeeded += state.succeeded
        mine.cancelled += state.cancelled
        mine.spent_s += state.spent_s
        _add_tokens(mine, state.tokens)
    recent = sorted(rows.items(), key=lambda row: row[1].last_s)[-limit:]
    rows.clear()
    rows.update(recent)
