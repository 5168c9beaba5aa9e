"""Keeps clients within their limits and budgets. Runs before the other middlewares, and refuses before any upstream
work.

A request takes an estimate of what it needs from all of its counters at once (`stores/quotas.py`), and settles what it
really used at its end. While the store does not answer, this process counts alone. `limiting/` says which rules count a
request, what it used, and how clients learn of it. Begin reading at `ClientLimits.on_request`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from pydantic import Field

from llmproxy.answer import Answer
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.limit import Budget, Limit
from llmproxy.limiting.answers import budget_exceeded, limit_headers, limit_refusal
from llmproxy.limiting.plan import Demand, Planner, SeenCounter
from llmproxy.limiting.report import merge_reports, report
from llmproxy.limiting.rules import Rule
from llmproxy.limiting.usage import expected_tokens, used_cost, used_tokens
from llmproxy.metrics.sample import Sample
from llmproxy.middleware.base import Middleware
from llmproxy.pricing.prices import Prices
from llmproxy.stores.base import StoreReference
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory_quotas import MemoryQuotas
from llmproxy.stores.open_stores import Stores
from llmproxy.stores.quotas import MAX_COUNTERS, QuotaStore, Settlement, Taken

log = logging.getLogger(__name__)

WARNING_HEADER = "x-llmproxy-budget-warning"
"""The header of one answer when so much of a budget is used that a warning is due."""

REROUTED_HEADER = "x-llmproxy-budget-route"
"""The header that names the model to which a budget sent the request instead."""

_UNESTIMATED = (0, 0)
_ROUNDED = 64  # tokens of an estimated cost
_MAX_COSTS = 2048
_MEMORY = "memory"


class _Reserved(msgspec.Struct, kw_only=True):
    """The amounts that an exchange took, and from which store; `expected` are the estimated input and output tokens."""

    demand: Demand
    amounts: Sequence[float]
    taken: Taken
    store: QuotaStore
    expected: tuple[int, int]
    headers: list[tuple[str, str]]


_NOTHING_RESERVED = _Reserved(
    demand=Demand(rules=[], quotas=[], amounts=[]),
    amounts=(),
    taken=Taken(used=[], slots=[]),
    store=MemoryQuotas(0),
    expected=_UNESTIMATED,
    headers=[],
)


class QuotasConfig(StoreReference):
    """The store that counts limits and budgets."""

    on_store_failure: Literal["allow", "deny"] = Field(
        default="allow",
        description="What happens while the store does not answer. allow: this process counts alone. deny: requests "
        "that a limit or budget counts get 503.",
    )


class ClientLimits(Middleware):
    """The limits and budgets of the configuration, `rules`, and those of client keys. `budgets` says that there is a
    budget among them."""

    def __init__(
        self,
        config: QuotasConfig,
        rules: Sequence[Limit | Budget] = (),
        prices: Prices | None = None,
        clock: Callable[[], float] = time.time,
        *,
        budgets: bool = False,
    ) -> None:
        super().__init__(config)
        self._planner = Planner(rules)
        self._has_budgets = budgets
        self._prices = Prices() if prices is None else prices
        self._denies = config.on_store_failure == "deny"
        self._store_name, self._store = config.store, ""
        self._quotas: QuotaStore
        self._own = MemoryQuotas(MAX_COUNTERS)
        self._wall_clock = clock
        self._note = f"llmproxy.limits.{id(self)}"
        self._unpriced: set[str] = set()
        self._costs: dict[tuple[str, str | None, int, int], float] = {}
        self._refused = self._warned = self._rerouted = self._alone = 0

    def use_stores(self, stores: Stores) -> None:
        store = stores.open(self._store_name)
        self._store, self._quotas = store.type, store.quotas(MAX_COUNTERS)

    async def start(self) -> None:
        if self._store == _MEMORY and self._has_budgets:
            log.warning(
                "budgets are counted in memory and start again from zero when llmproxy restarts; set `quotas.store` to "
                "disk or to a Redis to keep them"
            )

    async def on_request(self, exchange: Exchange) -> Answer | None:
        reserved = await self._reserve(exchange)
        if reserved is not None and reserved.taken.over:
            await self._route_elsewhere(exchange, reserved)
        return None

    async def _reserve(self, exchange: Exchange) -> _Reserved | None:
        """Take what the request needs; None when nothing counts it. Raises ProxyError when a rule refuses it."""
        demand = self._planner.plan(exchange)
        if demand is None:
            return None
        expected, amounts = _UNESTIMATED, demand.amounts
        if demand.tokens or demand.costs:
            if not _spends(exchange):
                demand = demand.without_measured()
                if demand is None:
                    return None
                amounts = demand.amounts
            else:
                expected = expected_tokens(exchange)
                amounts = self._estimated(exchange, demand, expected)
        store, taken = self._quotas, None
        try:
            taken = await store.take(demand.quotas, amounts)
        except StoreFault as fault:
            store = self._other_store(fault)
            taken = await store.take(demand.quotas, amounts)
        headers = self._warnings(exchange, demand, taken) if taken.warnings else []
        if taken.refused >= 0:
            self._note_refusal(demand.rules[taken.refused])
            raise limit_refusal(exchange, demand, amounts, taken, headers)
        reserved = _Reserved(
            demand=demand, amounts=amounts, taken=taken, store=store, expected=expected, headers=headers
        )
        exchange.notes[self._note] = reserved
        return reserved

    def _note_refusal(self, rule: Rule) -> None:
        rule.refused += 1
        self._refused += 1

    def _estimated(self, exchange: Exchange, demand: Demand, expected: tuple[int, int]) -> list[float]:
        """Return the amounts with the estimates. A request larger than a limit needs all of it, so that it can pass."""
        amounts, tokens = demand.amounts.copy(), sum(expected)
        for place in demand.tokens:
            amounts[place] = float(min(tokens, demand.rules[place].limit))
        if demand.costs:
            cost = self._expected_cost(exchange, expected)
            for place in demand.costs:
                amounts[place] = min(cost, demand.rules[place].limit)
        return amounts

    def _expected_cost(self, exchange: Exchange, expected: tuple[int, int]) -> float:
        """Return what the request may cost, 0 where its price is unknown. Kept for similar sizes: 4 µs."""
        route = exchange.route
        if route is None:
            return 0.0
        about = (route.name, exchange.model, -(-expected[0] // _ROUNDED), expected[1])
        cost = self._costs.get(about)
        if cost is None:
            cost = self._prices.estimate(route, exchange.model, about[2] * _ROUNDED, expected[1]) or 0.0
            if len(self._costs) >= _MAX_COSTS:
                self._costs.clear()
            self._costs[about] = cost
        return cost

    def _other_store(self, fault: StoreFault) -> QuotaStore:
        """Return the counters of this process alone. Raises ProxyError where requests are to be refused instead."""
        self._alone += 1
        if self._denies:
            raise ProxyError(
                "The limits cannot be checked now. Try again shortly",
                status=503,
                code="limits_unavailable",
                headers=(("Retry-After", "1"),),
            ) from fault
        return self._own

    def _warnings(self, exchange: Exchange, demand: Demand, taken: Taken) -> list[tuple[str, str]]:
        """Log and count that budgets are nearly used. Return the headers that say so."""
        headers = []
        for place in taken.warnings:
            rule = demand.rules[place]
            rule.warned += 1
            self._warned += 1
            used = f"{rule.warn_at or 0:.0%} of {rule.text} used"
            log.warning("budget: %s for %s", used, rule.counter_of(exchange))
            text = f"{used} {_whose(exchange, demand, place)}"
            headers.append((WARNING_HEADER, text.encode("ascii", "replace").decode()))
        return headers

    async def _route_elsewhere(self, exchange: Exchange, reserved: _Reserved) -> None:
        """Send a request beyond a budget to the model of that budget, where it counts as one for that model. Raises
        ProxyError where no other model can answer, or that model is beyond its own limits too."""
        applied: set[str] = set()
        tried = {exchange.model}
        while (model := self._other_model(exchange, reserved, applied, tried)) is not None:
            tried.add(model)
            exchange.rerouted_from, exchange.model = exchange.rerouted_from or exchange.model, model
            self._give_back(exchange, reserved)
            headers = [each for each in reserved.headers if each[0] != REROUTED_HEADER]
            reserved = await self._reserve(exchange) or _NOTHING_RESERVED
            rerouted = (REROUTED_HEADER, model.encode("ascii", "replace").decode())
            reserved = msgspec.structs.replace(reserved, headers=[*headers, *reserved.headers, rerouted])
            exchange.notes[self._note] = reserved

    def _other_model(
        self, exchange: Exchange, reserved: _Reserved, applied: set[str], tried: set[str | None]
    ) -> str | None:
        """Return the model to which the first of the budgets sends a request that is beyond them, None for its own.
        `applied` are the names of rules that had their turn, `tried` the models."""
        demand, chosen = reserved.demand, None
        for place in reserved.taken.over:
            rule = demand.rules[place]
            if rule.name in applied:
                continue
            if not _may_be_rerouted(exchange, rule) or (rule.route in tried and rule.route != exchange.model):
                self._note_refusal(rule)
                whose = _whose(exchange, demand, place)
                raise budget_exceeded(rule, whose, demand.quotas[place], exchange.began_s)
            applied.add(rule.name)
            rule.rerouted += 1
            self._rerouted += 1
            if chosen is None and rule.route != exchange.model:
                chosen = rule.route
        return chosen

    def _give_back(self, exchange: Exchange, reserved: _Reserved) -> None:
        """Let nothing count of what was taken for another model."""
        del exchange.notes[self._note]
        demand, slots = reserved.demand, reserved.taken.slots
        reserved.store.settle(
            [
                Settlement(quota, slot, amount)
                for quota, slot, amount in zip(demand.quotas, slots, reserved.amounts, strict=True)
                if amount
            ]
        )

    async def on_response(self, exchange: Exchange, answer: Answer) -> None:
        reserved = exchange.notes.get(self._note)
        if not isinstance(reserved, _Reserved):
            return
        pairs = limit_headers(exchange, reserved.demand, reserved.taken)
        if pairs or reserved.headers:
            answer.headers.update([*pairs, *reserved.headers])

    def on_end(self, exchange: Exchange) -> None:
        reserved = exchange.notes.pop(self._note, None)
        if not isinstance(reserved, _Reserved):
            return
        demand = reserved.demand
        if not demand.settled:
            return
        quotas, slots, amounts = demand.quotas, reserved.taken.slots, reserved.amounts
        charged = self._charged(exchange, reserved) if demand.tokens or demand.costs else {}
        reserved.store.settle(
            [
                Settlement(quotas[place], slots[place], amounts[place], charged.get(place, 0.0))
                for place in demand.settled
            ]
        )

    def _charged(self, exchange: Exchange, reserved: _Reserved) -> dict[int, float]:
        """Return what the exchange used, by the index of the rule that counts it."""
        demand = reserved.demand
        tokens, guessed = used_tokens(exchange, reserved.expected)
        charged = dict.fromkeys(demand.tokens, float(tokens))
        for place in demand.tokens if guessed else ():
            demand.rules[place].estimated += 1
        if demand.costs:
            cost, guessed, unpriced = used_cost(exchange, self._prices, (tokens, guessed), reserved.expected)
            charged |= dict.fromkeys(demand.costs, cost)
            for place in demand.costs:
                demand.rules[place].estimated += guessed
                demand.rules[place].unpriced += unpriced
            if unpriced:
                self._report_unpriced(exchange)
        return charged

    def _report_unpriced(self, exchange: Exchange) -> None:
        """Log once for each model that it has no price, so that budgets do not count it."""
        call = exchange.calls[-1]
        name = f"{call.target.provider.name}/{call.model}"[:200]
        if name not in self._unpriced and len(self._unpriced) < 1000:
            self._unpriced.add(name)
            log.warning("the price of %r is unknown: limits and budgets in USD do not count it", name)

    def describe(self) -> Mapping[str, object]:
        return {"store": self._store, "available": self._quotas.available, "fault": self._quotas.fault_reason}

    async def stats(self) -> Mapping[str, object]:
        """Return the state of each counter that was used lately, and what this process did for each rule."""
        planner, now_s = self._planner, self._wall_clock()
        counters = planner.seen.listed()
        known = {each.quota.key for each in counters}
        for rule in planner.rules:
            if rule.scope == "global" and (quota := rule.quota("", now_s)).key not in known:
                counters.append(SeenCounter(rule=rule, quota=quota, subject=""))
        try:
            content = await report(planner.all_rules(), counters, self._quotas, now_s)
        except StoreFault:
            content = await report(planner.all_rules(), counters, self._own, now_s)
        return {"store": self._store, "available": self._quotas.available, **content}

    def merge_stats(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
        return {**parts[0], **merge_reports(parts)}

    async def metrics(self) -> Sequence[Sample]:
        figures = (
            ("llmproxy_limits_refused", "Requests that a limit or budget refused.", self._refused),
            ("llmproxy_limits_counted_alone", "Requests that were counted without the store.", self._alone),
            ("llmproxy_budget_warnings", "Warnings that a budget is nearly used.", self._warned),
            ("llmproxy_budget_reroutes", "Requests that a budget sent to another model.", self._rerouted),
        )
        return [Sample(name=name, help=text, counter=True, value=value) for name, text, value in figures]


def _may_be_rerouted(exchange: Exchange, rule: Rule) -> bool:
    """Return whether the model of `rule` can answer the request: not where nobody knows the model, where all is
    relayed, or where the client may not use it."""
    route, key = exchange.route, exchange.client.key
    if exchange.endpoint is None or exchange.model is None or rule.route is None or (route is not None and route.relay):
        return False
    return key is None or key.may_use_model((rule.route,))


def _spends(exchange: Exchange) -> bool:
    """Return whether the call may have tokens and cost money: a call that nobody knows may."""
    endpoint = exchange.endpoint
    if endpoint is None or endpoint.socket is not None:
        return True
    counts = endpoint.dialect.token_count
    return endpoint.model and (counts is None or endpoint.path != counts.path)


def _whose(exchange: Exchange, demand: Demand, place: int) -> str:
    rule = demand.rules[place]
    return rule.whose(rule.subject(exchange) or "", keyed=exchange.client.key is not None)
