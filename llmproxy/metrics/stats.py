"""The content of `/stats`: the state of providers and models, running exchanges, clients and sessions.

Latencies cover all calls since the start except cancelled ones, to the end of the answer; percentiles are within 5 % of
the true values (`quantiles.py`). Tokens per second are the output tokens of all streams divided by their time from
first token to end, so long streams weigh more.

`Snapshot.of` copies what it needs in the event loop's thread and is quick; `as_json` builds the page, takes
milliseconds and belongs in a thread. The counts are those of `/metrics`. Begin reading at `Snapshot.as_json`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from llmproxy.exchange import Exchange
from llmproxy.metrics.activity import ActivityCounters
from llmproxy.metrics.counters import (
    CallCounters,
    CallLabels,
    Metrics,
    RequestCounters,
    RequestLabels,
    Speed,
    SpeedLabels,
)
from llmproxy.metrics.quantiles import Quantiles
from llmproxy.metrics.tokens import sum_costs, sum_tokens
from llmproxy.wire.text import replace_surrogates
from llmproxy.wire.timestamp import format_timestamp

GROUPS = ("client", "session")
MAX_RUNNING = 200
_NAME_LENGTH = 200
_FIRST_TOKEN = (("p50", 0.5), ("p95", 0.95))
_LATENCY = (*_FIRST_TOKEN, ("p99", 0.99))


@dataclass(slots=True, kw_only=True)
class _Row:
    """Counters of one model, one provider, or everything."""

    calls: list[tuple[CallLabels, CallCounters]] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    in_flight: int = 0

    def as_json(self) -> dict[str, object]:
        total = sum(calls.count for _, calls in self.calls)
        cancelled = self._count("cancelled")
        errors: Counter[str] = Counter()
        for labels, calls in self.calls:
            if labels.kind:
                errors[labels.kind] += calls.count
        return {
            "requests": total,
            "in_flight": self.in_flight,
            "success_rate": _rate(self._count("success"), total - cancelled),
            "cancelled": cancelled,
            "failed_over": sum(calls.replaced for _, calls in self.calls),
            "errors": dict(sorted(errors.items())),
            **self._speed(),
            "tokens": sum_tokens(calls for _, calls in self.calls),
            "usage_unknown": sum(calls.usage_unknown for _, calls in self.calls),
            **sum_costs(calls for _, calls in self.calls),
        }

    def _count(self, outcome: str) -> int:
        return sum(calls.count for labels, calls in self.calls if labels.outcome == outcome)

    def _speed(self) -> dict[str, object]:
        latency = Quantiles.merged(speed.latency for speed in self.speeds)
        first_token = Quantiles.merged(speed.first_token for speed in self.speeds)
        tokens = sum(speed.streamed_tokens for speed in self.speeds)
        spent_s = sum(speed.streamed_s for speed in self.speeds)
        return {
            "latency_ms": {name: _ms(latency.quantile(share)) for name, share in _LATENCY},
            "first_token_ms": {name: _ms(first_token.quantile(share)) for name, share in _FIRST_TOKEN},
            "tokens_per_second": round(tokens / spent_s, 1) if spent_s > 0 else None,
        }


class RunningExchange(msgspec.Struct, kw_only=True, frozen=True):
    """An exchange under way, as the page needs it. `provider` is None before its first call, `session` without one.
    `shown` is its JSON form, None for those that are not listed; `websocket` says that it is an open one."""

    provider: str | None
    model: str | None
    client: str
    session: str | None
    started_s: float
    shown: dict[str, object] | None = None
    websocket: bool = False


def running_exchanges(running: Iterable[Exchange]) -> list[RunningExchange]:
    """Return the exchanges of clients among `running`; the first MAX_RUNNING of them in full."""
    now_s = time.monotonic()
    proxied = [exchange for exchange in running if not exchange.own]
    return [
        RunningExchange(
            provider=None if exchange.target is None else exchange.target.provider.name,
            model=None if exchange.target is None else _name(exchange.target.model or exchange.model),
            client=replace_surrogates(exchange.client.label),
            session=None if exchange.session_id is None else replace_surrogates(exchange.session_id),
            started_s=exchange.started_s,
            shown=_running(exchange, now_s) if number < MAX_RUNNING else None,
            websocket=_is_open(exchange),
        )
        for number, exchange in enumerate(proxied)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Data of the page at one moment."""

    providers: Sequence[str]
    running: Sequence[RunningExchange]
    requests: dict[RequestLabels, RequestCounters]
    uncalled: dict[str, int]
    calls: dict[CallLabels, CallCounters]
    speeds: dict[SpeedLabels, Speed]
    per_second: float
    groups: dict[str, list[tuple[str, ActivityCounters]]]

    @classmethod
    def of(
        cls,
        metrics: Metrics,
        running: Iterable[RunningExchange],
        *,
        started_s: float,
        providers: Sequence[str],
        by: Iterable[str] = (),
    ) -> Snapshot:
        """Copy the present state. `providers` are listed even before their first call; `by` names what to group by, a
        subset of GROUPS.
        """
        now_s, activity = time.monotonic(), metrics.activity
        by_kind = {"client": activity.clients, "session": activity.sessions}
        return cls(
            providers=providers,
            running=sorted(running, key=lambda exchange: exchange.started_s),
            requests=metrics.requests.copy(),
            uncalled=metrics.uncalled.copy(),
            calls=metrics.calls.copy(),
            speeds=metrics.speeds.copy(),
            per_second=activity.rate.per_second(now_s, now_s - started_s),
            groups={name: list(by_kind[name].items()) for name in by},
        )

    def as_json(self) -> dict[str, object]:
        """Return the page. Unknown values are null; names of times carry their unit."""
        rows: dict[str, dict[str, _Row]] = {name: {} for name in self.providers}
        for labels, calls in self.calls.items():
            _row(rows, labels.provider, labels.model).calls.append((labels, calls))
        for where, speed in self.speeds.items():
            _row(rows, where.provider, where.model).speeds.append(speed)
        for exchange in self.running:
            if exchange.provider is not None:
                _row(rows, exchange.provider, exchange.model or "").in_flight += 1
        return {
            "requests": self._requests(),
            "totals": _sum(row for models in rows.values() for row in models.values()).as_json(),
            "without_provider": self.uncalled,
            "providers": {name: _provider(models) for name, models in rows.items()},
            "running": {
                "count": len(self.running),
                "exchanges": [exchange.shown for exchange in self.running if exchange.shown is not None][:MAX_RUNNING],
            },
            **{f"{kind}s": self._group(kind, counted) for kind, counted in self.groups.items()},
        }

    def _requests(self) -> dict[str, object]:
        """Return the counts of client requests, without our own pages."""
        statuses: Counter[str] = Counter()
        cancelled = 0
        for labels, requests in self.requests.items():
            if not requests.own:
                statuses[labels.status] += sum(requests.durations.counts)
                cancelled += requests.cancelled
        return {
            "total": statuses.total(),
            "in_flight": len(self.running),
            "websockets": sum(exchange.websocket for exchange in self.running),
            "cancelled": cancelled,
            "per_second": round(self.per_second, 3),
            "by_status": dict(sorted(statuses.items())),
        }

    def _group(self, kind: str, counted: list[tuple[str, ActivityCounters]]) -> list[dict[str, object]]:
        """Return the rows of clients or sessions: first those waiting for their first answer, then by last use."""
        name_of = _client if kind == "client" else _session
        in_flight = Counter(name for exchange in self.running if (name := name_of(exchange)) is not None)
        first = {name_of(exchange): exchange for exchange in reversed(self.running)}
        counted = [(replace_surrogates(name), counters) for name, counters in counted]
        ended = dict(counted)
        fresh = [
            (
                name,
                ActivityCounters(
                    client=first[name].client, first_s=first[name].started_s, last_s=first[name].started_s
                ),
            )
            for name in in_flight
            if name not in ended
        ]
        rows = [*fresh, *reversed(counted)]
        return [self._counters_json(kind, name, counters, in_flight[name]) for name, counters in rows]

    def _counters_json(self, kind: str, name: str, counters: ActivityCounters, in_flight: int) -> dict[str, object]:
        judged = counters.requests - counters.cancelled
        return {
            **({"session": name} if kind == "session" else {}),
            "client": replace_surrogates(counters.client),
            "requests": counters.requests,
            "in_flight": in_flight,
            "success_rate": _rate(counters.succeeded, judged),
            "errors": judged - counters.succeeded,
            "cancelled": counters.cancelled,
            "avg_duration_ms": _ms(counters.spent_s / counters.requests) if counters.requests else None,
            "tokens": sum_tokens([counters]),
            **sum_costs([counters]),
            "first_seen": self._wall(counters.first_s),
            "last_seen": self._wall(counters.last_s),
        }

    def _wall(self, moment_s: float) -> str:
        """Return a monotonic time as UTC, by the present clock: an adjusted clock moves all of them alike."""
        return format_timestamp(time.time() - (time.monotonic() - moment_s))


def _is_open(exchange: Exchange) -> bool:
    """Return whether an exchange is a WebSocket that is open."""
    return exchange.answer is not None and exchange.answer.upgraded is not None


def _running(exchange: Exchange, now_s: float) -> dict[str, object]:
    """Return one running exchange as JSON. Built at once: the exchange goes on while the page is written."""
    target, first_token_s = exchange.target, exchange.first_token_s
    return {
        "id": exchange.id,
        "request_id": exchange.request_id,
        "age_ms": _ms(now_s - exchange.started_s),
        "client": replace_surrogates(exchange.client.label),
        "session": exchange.session_id,
        "method": exchange.method,
        "path": replace_surrogates(exchange.full_path),
        "model": _name(exchange.model),
        "provider": None if target is None else target.provider.name,
        "stream": exchange.stream,
        "status": exchange.status,
        "sent_bytes": exchange.sent_bytes,
        "first_token_ms": None if first_token_s is None else _ms(first_token_s - exchange.started_s),
    }


def _client(exchange: RunningExchange) -> str:
    return exchange.client


def _session(exchange: RunningExchange) -> str | None:
    return exchange.session


def _row(rows: dict[str, dict[str, _Row]], provider: str, model: str) -> _Row:
    models = rows.setdefault(provider, {})
    return models.setdefault(model, _Row())


def _provider(models: dict[str, _Row]) -> dict[str, object]:
    total = _sum(models.values()).as_json()
    return {**total, "models": {name: row.as_json() for name, row in sorted(models.items())}}


def _sum(rows: Iterable[_Row]) -> _Row:
    whole = _Row()
    for row in rows:
        whole.calls += row.calls
        whole.speeds += row.speeds
        whole.in_flight += row.in_flight
    return whole


def _name(model: str | None) -> str | None:
    return None if model is None else replace_surrogates(model[:_NAME_LENGTH])


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole > 0 else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(max(seconds, 0.0) * 1000, 3)
