"""One limit or budget as it is applied: which requests it counts, in which counter, and what it says of itself.

Begin reading at `Rule`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from llmproxy.access.identity import digest, identity_of
from llmproxy.exchange import Exchange
from llmproxy.limit import Budget, Limit, LimitMatch, LimitScope
from llmproxy.limiting.calendar import Calendar
from llmproxy.route import model_names
from llmproxy.settings import write_duration
from llmproxy.stores.quotas import Quota

RuleKind = Literal["requests", "tokens", "concurrent", "cost", "budget"]

_LONGEST = 100  # characters of a value in the name of a counter
_TIMES = {1.0: "second", 60: "minute", 3600: "hour", 86400: "day"}
_PERIODS = {"day": "per day", "week": "per week", "month": "per month", "total": "in total", "session": "per session"}


class Rule:
    """A limit or a budget, with what it counted in this process. `owner` is the client key that it belongs to, "" for
    one of the configuration."""

    def __init__(self, rule: Limit | Budget, owner: str = "", number: int = 1) -> None:
        self.scope: LimitScope = rule.scope
        self.owner = owner
        self.match = rule.match
        self.refused = 0
        self.estimated = 0
        self.unpriced = 0
        self.rerouted = 0
        self.warned = 0
        self.calendar: Calendar | None = None
        self.route: str | None = None
        self.warn_at: float | None = None
        if isinstance(rule, Budget):
            self.kind: RuleKind = "budget"
            self.limit = rule.max_cost
            self.per_s = 0.0
            self.calendar = Calendar(rule.period, rule.timezone)
            self.route, self.warn_at = rule.route, rule.warn_at
            self.text = f"{rule.max_cost:,.10g} USD {_PERIODS[rule.period]}"
            period = f"{rule.period} {rule.timezone}"
        else:
            self.kind, self.limit, self.per_s = rule.kind, rule.amount, rule.per_s
            self.text = _limit_text(rule)
            period = f"{rule.per_s:g}"
        match = digest(*map(repr, (rule.match.models, rule.match.keys, *_others(rule.match))))[:8]
        same = f"#{number}" if number > 1 else ""
        self.name = f"{owner and f'{owner}/'}{self.kind}:{period}:{rule.scope}:{match}{same}"

    def counts(self, exchange: Exchange, provider: str | None) -> bool:
        """Return whether the rule counts the request, which would go to `provider` first."""
        match, key = self.match, exchange.client.key
        return (
            (not match.models or any(_fits(match.models, name) for name in _model_names(exchange)))
            and _fits(match.keys, None if key is None else key.name)
            and _fits(match.teams, None if key is None else key.team)
            and _fits(match.paths, exchange.full_path)
            and _fits(match.providers, provider)
        )

    def subject(self, exchange: Exchange) -> str | None:
        """Return the value of the scope, for which the request counts; None where it has none, and so is not
        counted."""
        key = exchange.client.key
        match self.scope:
            case "key":
                return key.name if key is not None else exchange.client.address
            case "team":
                return key.team or None if key is not None else None
            case "address":
                return exchange.client.address
            case "model":
                return next(reversed(_model_names(exchange)), None)
            case "session":
                return exchange.session_id
            case "global":
                return ""

    def quota_for(self, exchange: Exchange, subject: str) -> Quota:
        """Return the counter of `subject`, for which the request counts, and what it may reach."""
        if self.scope == "session":
            return self.quota(f"{identity_of(exchange)}:{_shortened(subject)}", exchange.began_s, chosen=True)
        if self.scope == "key" and exchange.client.key is None:
            return self.quota(f"address {_shortened(subject)}", exchange.began_s, chosen=True)
        return self.quota(_shortened(subject), exchange.began_s, chosen=self.scope in ("address", "model"))

    def quota(self, name: str, now_s: float, *, chosen: bool = False) -> Quota:
        """Return the counter of that name at `now_s` (wall clock). `chosen` says that a client chooses the name."""
        if self.calendar is not None:
            period = self.calendar.period_at(now_s)
            return Quota(
                key=f"{self.name}:{period.name}:{name}",
                kind="total",
                limit=self.limit,
                ends_s=period.end_s,
                warn_at=math.inf if self.warn_at is None else self.limit * self.warn_at,
                refuses=self.route is None,
                chosen=chosen,
            )
        kind: Literal["running", "window"] = "running" if self.kind == "concurrent" else "window"
        return Quota(key=f"{self.name}:{name}", kind=kind, limit=self.limit, per_s=self.per_s, chosen=chosen)

    def counter_of(self, exchange: Exchange) -> str:
        """Return the name of the counter of the request, for operators."""
        if self.scope == "global":
            return self.owner or "all clients together"
        scope = "address" if self.scope == "key" and exchange.client.key is None else self.scope
        return f"{scope} {(self.subject(exchange) or '')[:_LONGEST]!r}"

    def whose(self, subject: str, *, keyed: bool) -> str:
        """Return for whom the rule counts, in a message to the client."""
        match self.scope:
            case "key":
                return "for this key" if keyed else "for this address"
            case "address":
                return "for this address"
            case "session":
                return "for this session"
            case "team" | "model":
                return f"for the {self.scope} {subject[:_LONGEST]!r}"
            case "global":
                return "for this key" if self.owner else "for all clients together"


def _model_names(exchange: Exchange) -> tuple[str, ...]:
    return model_names(exchange.model, exchange.route)


def make_rules(rules: Sequence[Limit | Budget], owner: str = "") -> list[Rule]:
    """Return the rules with a name for each, also where two count the same with other limits."""
    made: list[Rule] = []
    for each in rules:
        rule, number = Rule(each, owner), 1
        while any(rule.name == other.name for other in made):
            number += 1
            rule = Rule(each, owner, number)
        made.append(rule)
    return made


def _limit_text(limit: Limit) -> str:
    amount = f"{limit.amount:,.10g}"
    match limit.kind:
        case "requests" | "tokens":
            return f"{amount} {limit.kind} per {_time(limit.per_s)}"
        case "concurrent":
            return f"{amount} requests at a time"
        case "cost":
            return f"{amount} USD per {_time(limit.per_s)}"


def _time(seconds: float) -> str:
    return _TIMES.get(seconds) or write_duration(seconds)


def _shortened(text: str) -> str:
    """Return `text` as it can be part of a name, whatever clients send."""
    return text if len(text) <= _LONGEST and text.isprintable() else digest(text)


def _others(match: LimitMatch) -> tuple[Sequence[str], ...]:
    return match.teams, match.paths, match.providers


def _fits(patterns: Sequence[str], value: str | None) -> bool:
    return not patterns or (value is not None and any(fnmatchcase(value, pattern) for pattern in patterns))
