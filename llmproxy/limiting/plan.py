"""Find the rules and counters of a request: once for requests that are alike.

Requests of one key, to one model, path and provider, count in the same counters, except for those of addresses and
sessions. Begin reading at `Planner.plan`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from llmproxy.access.identity import identity_of
from llmproxy.client_key import ClientKey
from llmproxy.exchange import Exchange
from llmproxy.limit import Budget, Limit
from llmproxy.limiting.rules import Rule, make_rules
from llmproxy.route import model_names
from llmproxy.stores.quotas import Quota

MAX_SEEN = 1000  # counters that `/stats` may show
_MAX_KEYS = 4096
_MAX_PLANS = 256  # of one key
_MAX_BOUND = 256  # of one plan


class Demand(msgspec.Struct, kw_only=True):
    """The needs of a request: the rules that count it, with a counter and an amount for each. `tokens` and `costs` are
    the indices of amounts that are still to be estimated, `settled` those to settle at the
    end of the request, `in_headers` those whose rest stands in headers of the answer, by their kind."""

    rules: list[Rule]
    quotas: list[Quota]
    amounts: list[float]
    tokens: list[int] = []
    costs: list[int] = []
    settled: list[int] = []
    in_headers: dict[str, list[int]] = {}

    def without_measured(self) -> Demand | None:
        """Return the demand of a call that has no tokens and costs nothing; None when nothing is left."""
        kept = Demand(rules=[], quotas=[], amounts=[])
        for place, rule in enumerate(self.rules):
            if place not in self.tokens and place not in self.costs:
                kept.add(rule, self.quotas[place])
        return kept if kept.rules else None

    def add(self, rule: Rule, quota: Quota) -> None:
        """Add what a rule needs."""
        place = len(self.rules)
        for kinds, places in (
            (("tokens",), self.tokens),
            (("cost", "budget"), self.costs),
            (("tokens", "cost", "budget", "concurrent"), self.settled),
        ):
            if rule.kind in kinds:
                places.append(place)
        if rule.kind in ("requests", "tokens"):
            self.in_headers.setdefault(rule.kind, []).append(place)
        self.rules.append(rule)
        self.quotas.append(quota)
        self.amounts.append(1.0 if rule.kind in ("requests", "concurrent") else 0.0)


class SeenCounter(msgspec.Struct, frozen=True, kw_only=True):
    """A counter that was used lately. `subject` is what has it: a key, a team, an address."""

    rule: Rule
    quota: Quota
    subject: str


class SeenCounters:
    """The counters that were used lately: those that clients choose apart, so that they push out no others."""

    def __init__(self) -> None:
        self._chosen: OrderedDict[str, SeenCounter] = OrderedDict()
        self._others: OrderedDict[str, SeenCounter] = OrderedDict()

    def add(self, counter: SeenCounter) -> None:
        """Note that a counter is used now."""
        counters = self._chosen if counter.quota.chosen else self._others
        key = counter.quota.key
        counters[key] = counter
        counters.move_to_end(key)
        if len(counters) > MAX_SEEN:
            counters.popitem(last=False)

    def listed(self) -> list[SeenCounter]:
        """Return the counters, the last used first."""
        return [*reversed(self._others.values()), *reversed(self._chosen.values())]


class _Plan:
    """The rules that count requests that are alike, from `from_s` until `until_s` (wall clock). The counters of
    `open_rules` are those of an address or session; `bound` has the demands with these."""

    __slots__ = ("bound", "demand", "from_s", "of_sessions", "open_rules", "until_s")

    def __init__(self) -> None:
        self.demand = Demand(rules=[], quotas=[], amounts=[])
        self.open_rules: list[Rule] = []
        self.of_sessions = False
        self.bound: dict[tuple[str | None, ...], Demand] = {}
        self.from_s, self.until_s = -math.inf, math.inf


class _Group:
    """The rules of one key (or of clients without one), and the plans made of them."""

    __slots__ = ("by_model", "by_path", "by_provider", "key", "plans", "rules")

    def __init__(self, rules: Sequence[Rule], key: ClientKey | None) -> None:
        self.rules = rules
        self.key = key
        self.by_model = any(rule.match.models or rule.scope == "model" for rule in rules)
        self.by_path = any(rule.match.paths for rule in rules)
        self.by_provider = any(rule.match.providers for rule in rules)
        self.plans: dict[tuple[tuple[str, ...] | None, str | None, str | None], _Plan] = {}


class Planner:
    """Plans what requests need. `rules` are those of the configuration."""

    def __init__(self, rules: Sequence[Limit | Budget]) -> None:
        self.rules = make_rules(rules)
        self.seen = SeenCounters()
        self._without_key = _Group(self.rules, None)
        self._groups: OrderedDict[str, _Group] = OrderedDict()

    def all_rules(self) -> list[Rule]:
        """Return the rules of the configuration and of the keys that were used lately."""
        return [*self.rules, *(rule for group in self._groups.values() for rule in group.rules if rule.owner)]

    def plan(self, exchange: Exchange) -> Demand | None:
        """Return what the request needs, None when no rule counts it."""
        key = exchange.client.key
        group = self._without_key if key is None else self._group(key)
        if not group.rules:
            return None
        plan = self._plan(group, exchange)
        if plan.open_rules:
            return self._bound(plan, exchange)
        demand = plan.demand
        return demand if demand.rules else None

    def _group(self, key: ClientKey) -> _Group:
        group = self._groups.get(key.name)
        if group is not None and (group.key is key or (group.key is not None and _counts_alike(group.key, key))):
            return group
        own = make_rules([*key.limits, *key.budgets], f"key {key.name}")
        self._groups[key.name] = group = _Group([*own, *self.rules], key)
        self._groups.move_to_end(key.name)
        if len(self._groups) > _MAX_KEYS:
            self._groups.popitem(last=False)
        return group

    def _plan(self, group: _Group, exchange: Exchange) -> _Plan:
        provider = None
        if group.by_provider and exchange.route is not None:
            provider = exchange.route.targets[0].provider.name
        models = model_names(exchange.model, exchange.route) if group.by_model else None
        alike = models, exchange.full_path if group.by_path else None, provider
        plan = group.plans.get(alike)
        if plan is None or not plan.from_s <= exchange.began_s < plan.until_s:
            plan = self._made(group, exchange, provider)
            if len(group.plans) >= _MAX_PLANS:
                group.plans.clear()
            group.plans[alike] = plan
        return plan

    def _made(self, group: _Group, exchange: Exchange, provider: str | None) -> _Plan:
        plan = _Plan()
        for rule in group.rules:
            if not rule.counts(exchange, provider):
                continue
            if rule.calendar is not None:
                period = rule.calendar.period_at(exchange.began_s)
                plan.from_s, plan.until_s = max(plan.from_s, period.start_s), min(plan.until_s, period.end_s)
            if rule.scope in ("address", "session") or (rule.scope == "key" and group.key is None):
                plan.open_rules.append(rule)
                plan.of_sessions = plan.of_sessions or rule.scope == "session"
            else:
                self._add(plan.demand, rule, exchange)
        return plan

    def _bound(self, plan: _Plan, exchange: Exchange) -> Demand | None:
        """Return the demand with the counters of this request's address and session."""
        address = exchange.client.address
        subjects: tuple[str | None, ...] = (address,)
        if plan.of_sessions:
            subjects = address, exchange.session_id, identity_of(exchange)
        known = plan.bound.get(subjects)
        if known is not None:
            return known if known.rules else None
        demand = Demand(rules=[], quotas=[], amounts=[])
        for rule, quota in zip(plan.demand.rules, plan.demand.quotas, strict=True):
            demand.add(rule, quota)
        for rule in plan.open_rules:
            self._add(demand, rule, exchange)
        if len(plan.bound) >= _MAX_BOUND:
            plan.bound.clear()
        plan.bound[subjects] = demand
        return demand if demand.rules else None

    def _add(self, demand: Demand, rule: Rule, exchange: Exchange) -> None:
        subject = rule.subject(exchange)
        if subject is None:
            return
        quota = rule.quota_for(exchange, subject)
        demand.add(rule, quota)
        self.seen.add(SeenCounter(rule=rule, quota=quota, subject=subject))


def _counts_alike(one: ClientKey, other: ClientKey) -> bool:
    """Return whether the same rules count two keys of one client: while it changes its key, and for each new token."""
    return one.team == other.team and one.limits == other.limits and one.budgets == other.budgets
