"""The health of all targets, and the retry budget: what outlives a reload.

Targets are the same when provider and model are. Each change of a circuit breaker is logged once. Begin reading at
`Health.of`.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from llmproxy.dialects.limit_readings import LimitReading
from llmproxy.metrics.sample import Sample
from llmproxy.routing.limit_line import LimitLines
from llmproxy.routing.retry_budget import RetryBudget
from llmproxy.target import Target
from llmproxy.target_health import MOST_REST_S, BreakerSettings, TargetHealth

log = logging.getLogger(__name__)


class HealthSharing(Protocol):
    """Tells other processes what happens to targets here; see `shared_health.py`."""

    def opened(self, target: TargetHealth) -> None: ...
    def closed(self, target: TargetHealth) -> None: ...
    def rests(self, target: TargetHealth, seconds: float) -> None: ...
    async def may_probe(self, target: TargetHealth) -> bool: ...


class Health:
    """The health of targets, by provider and model. `shared` shares it with other processes, where they do.

    `out` counts those whose breaker is not closed; none rests for its limits after `resting_until_s`. `lines` has the
    requests whose targets are all at their limit, `shadow_calls` the copies of requests by provider, model and outcome.
    """

    def __init__(self) -> None:
        self.budget = RetryBudget()
        self.out = 0
        self.resting_until_s = -math.inf
        self.lines = LimitLines()
        self.shared: HealthSharing | None = None
        self.shadow_calls: Counter[tuple[str, str, str]] = Counter()
        self._targets: dict[tuple[str, str | None], TargetHealth] = {}

    def of(self, provider: str, model: str | None, settings: BreakerSettings) -> TargetHealth:
        """Return the health of a target, with these settings for its breaker from now on."""
        known = self._targets.get((provider, model))
        if known is None:
            known = self._targets[provider, model] = TargetHealth(provider, model, settings)
            known.breaker.on_change = partial(self._note_change, known)
            known.breaker.on_decision = partial(self._note_decision, known)
        known.breaker.settings = settings
        return known

    def keep(self, targets: Iterable[Target], providers: Iterable[str] = ()) -> None:
        """Forget all but those of `targets`, of the configuration that is in effect now, and of the `providers` whose
        models clients name themselves."""
        kept = {id(target.health) for target in targets}
        kept |= {id(self._targets[name, None]) for name in providers if (name, None) in self._targets}
        for each in self._targets.values():
            if id(each) not in kept:  # calls of the configuration before may still change it
                each.breaker.on_change = None
        self._targets = {key: each for key, each in self._targets.items() if id(each) in kept}
        self.out = sum(each.breaker.state != "closed" for each in self._targets.values())

    def all(self) -> list[TargetHealth]:
        """Return the health of each target, in the order of the configuration."""
        return list(self._targets.values())

    def rest(self, target: TargetHealth, seconds: float, now_s: float, *, from_shared: bool = False) -> None:
        """Leave a target alone for so long: its provider says that nothing is left of a limit, to another
        process where it is `from_shared`."""
        if target.limits.rest(seconds, now_s):
            self.resting_until_s = max(self.resting_until_s, target.limits.rest_until_s)
            if self.shared is not None and not from_shared:
                self.shared.rests(target, min(seconds, MOST_REST_S))

    def all_out(self) -> bool:
        """Return whether there are targets and none of them may be called now."""
        if not self.out or self.out < len(self._targets):
            return False
        now_s = time.monotonic()
        return not any(each.breaker.admits(now_s) for each in self._targets.values())

    def faults(self) -> dict[str, str]:
        """Return a sentence for each target that is taken out, by its name."""
        now_s = time.monotonic()
        out = [each for each in self._targets.values() if each.breaker.state != "closed"]
        return {each.name: _describe_out(each, now_s) for each in out}

    def rows(self) -> list[dict[str, object]]:
        """Return a row for each target, as pages show it. Times are in milliseconds, unknown ones null."""
        now_s = time.monotonic()
        return [_row(each, now_s) for each in self._targets.values()]

    def take_over(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take over the state in `rows`, as the page of another process shows it, for the targets known here."""
        now_s = time.monotonic()
        for row in rows:
            target = self._targets.get((str(row.get("provider")), row.get("model")))
            if target is None or row.get("state") not in _STATES:
                continue
            left_ms, running = row.get("next_try_ms"), row.get("running")
            target.breaker.state = row["state"]
            target.breaker.retry_s = now_s + (left_ms / 1000 if isinstance(left_ms, (int, float)) else 0.0)
            target.running = running if isinstance(running, int) else 0
            if isinstance(at_limit_ms := row.get("at_limit_ms"), (int, float)) and at_limit_ms > 0:
                self.rest(target, at_limit_ms / 1000, now_s)
            limits = row.get("limits")
            readings = map(_limit_in, limits if isinstance(limits, list) else ())
            target.limits.note([each for each in readings if each is not None], now_s)
            for name, stream in (("first_token_ms", True), ("answer_ms", False)):
                if isinstance(took_ms := row.get(name), (int, float)):
                    target.note_first_token(took_ms / 1000, now_s, stream=stream)
        self.out = sum(each.breaker.state != "closed" for each in self._targets.values())

    def samples(self) -> Iterator[Sample]:
        """Yield what `/metrics` shows."""
        now_s = time.monotonic()
        for each in self._targets.values():
            yield from _target_samples(each, now_s)
        for (provider, model, outcome), count in sorted(self.shadow_calls.items()):
            yield Sample(
                name="llmproxy_shadow_calls_total",
                help="Copies of requests for a shadow target, by outcome.",
                value=count,
                counter=True,
                labels=(("provider", provider), ("model", model), ("outcome", outcome)),
            )
        yield Sample(
            name="llmproxy_retries_refused_total",
            help="Retries and failovers that the retry budget did not allow.",
            value=self.budget.refused,
            counter=True,
        )
        yield Sample(
            name="llmproxy_target_limit_waiting",
            help="Requests whose targets are all at their limit.",
            value=self.lines.waiting,
        )
        for name, help_, value in (
            ("waited", "Requests that waited because all targets were at their limit.", self.lines.waited),
            ("refused", "Requests that waited in vain for a target at its limit.", self.lines.refused),
        ):
            yield Sample(name=f"llmproxy_target_limit_{name}_total", help=help_, value=value, counter=True)

    def _note_decision(self, target: TargetHealth) -> None:
        if self.shared is None:
            return
        if target.breaker.state == "closed":
            self.shared.closed(target)
        else:
            self.shared.opened(target)

    def _note_change(self, target: TargetHealth) -> None:
        breaker = target.breaker
        if breaker.state == "closed":
            self.out -= 1
            log.info("target %s answers again and is taken back", target.name)
        else:
            self.out += 1
            count = breaker.failures(breaker.since_s)
            why = f"after {count} failed calls" if count else "as in another process"
            log.warning("target %s is taken out for %g s %s", target.name, breaker.recovery_s, why)


def _target_samples(target: TargetHealth, now_s: float) -> Iterator[Sample]:
    labels = (("provider", target.provider), ("model", target.model or ""))
    yield Sample(
        name="llmproxy_target_state",
        help="Circuit breaker of a target: 0 closed, 1 half open, 2 open.",
        value=_STATES[target.breaker.state],
        labels=labels,
        across="max",
    )
    yield Sample(
        name="llmproxy_target_opened_total",
        help="How often the circuit breaker of a target has opened.",
        value=target.breaker.opened,
        counter=True,
        labels=labels,
        across="max",
    )
    yield Sample(
        name="llmproxy_target_rested_total",
        help="How often a target was left alone because nothing was left of its limits.",
        value=target.limits.rested,
        counter=True,
        labels=labels,
        across="max",
    )
    for reading in target.limits.current(now_s):
        yield from _limit_samples(reading, labels)
    yield Sample(name="llmproxy_target_running", help="Calls under way.", value=target.running, labels=labels)


def _limit_samples(reading: LimitReading, labels: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
    labels = (*labels, ("limit", reading.kind))
    if reading.limit is not None:
        yield Sample(
            name="llmproxy_target_limit",
            help="A limit of a target, of its provider or configured.",
            value=reading.limit,
            labels=labels,
            across="max",
        )
    if reading.remaining is not None:
        yield Sample(
            name="llmproxy_target_limit_left",
            help="What is left of a limit of a target.",
            value=reading.remaining,
            labels=labels,
            across="min",
        )


_STATES = {"closed": 0, "half_open": 1, "open": 2}


def _row(target: TargetHealth, now_s: float) -> dict[str, object]:
    breaker = target.breaker
    left_s = max(breaker.retry_s - now_s, 0.0) if breaker.state == "open" else None
    return {
        "provider": target.provider,
        "model": target.model,
        "state": breaker.state,
        "recent_failures": breaker.failures(now_s),
        "opened": breaker.opened,
        "next_try_ms": None if left_s is None else round(left_s * 1000),
        "running": target.running,
        "first_token_ms": _ms(target.first_token_s(stream=True)),
        "answer_ms": _ms(target.first_token_s(stream=False)),
        "at_limit_ms": round(max(target.limits.rest_until_s - now_s, 0.0) * 1000) if target.limits.rested else 0,
        "limits": [_limit_row(each) for each in target.limits.current(now_s)],
    }


def _limit_row(reading: LimitReading) -> dict[str, object]:
    known = reading.limit is not None and reading.remaining is not None
    return {
        "kind": reading.kind,
        "limit": reading.limit,
        "used": (reading.limit or 0.0) - (reading.remaining or 0.0) if known else None,
        "left": reading.remaining,
        "reset_ms": _ms(reading.reset_s),
    }


def _limit_in(row: object) -> LimitReading | None:
    """Read what `_limit_row` wrote; None where another process shows something else."""
    if not isinstance(row, dict) or not isinstance(row.get("kind"), str):
        return None
    limit, remaining, reset_ms = (
        float(value) if isinstance(value := row.get(name), (int, float)) else None
        for name in ("limit", "left", "reset_ms")
    )
    reset_s = None if reset_ms is None else reset_ms / 1000
    return LimitReading(kind=row["kind"], limit=limit, remaining=remaining, reset_s=reset_s)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _describe_out(target: TargetHealth, now_s: float) -> str:
    left_s = max(target.breaker.retry_s - now_s, 0.0)
    when = "a call decides now" if target.breaker.state == "half_open" else f"next try in {left_s:.0f} s"
    return f"target {target.name} is taken out since {now_s - target.breaker.since_s:.0f} s; {when}"
