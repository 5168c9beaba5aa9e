"""Compute the cost of an exchange, in USD, and the most that a call may cost.

`Prices` is built once for each configuration; its table is read in a thread, before the first request needs it. An
unknown price is None, never 0. Begin reading at `Prices.charge`.

The answer names the model that is priced: names that clients and routes use may be aliases. The name in the request
counts where the answer names none, or names less, as behind a region (`global.x-v1:0` and `x`) and for variants
(`x:free` and `x`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from llmproxy.answer import Answer
from llmproxy.call import Call
from llmproxy.dialects.usage import Usage, UsageDetails
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.pricing.price import Price
from llmproxy.pricing.price_table import PriceTable, read_table
from llmproxy.route import Route
from llmproxy.target import Provider, Target

COST_HEADER = "x-llmproxy-cost"
"""The header of whole answers that says what they cost."""

_MAX_KNOWN = 2000
_LONGEST_NAME = 500
_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRule:
    """The configured price of the models that `pattern` matches (fnmatch style)."""

    pattern: str
    price: Price


class Prices:
    """The prices of models, by provider.

    `rules` are the configured prices for all providers, `own` those of single ones, by name. Calls of models without a
    price are refused when `required` is set. `table` is the table once it was read.
    """

    def __init__(
        self,
        rules: Sequence[PriceRule] = (),
        own: Mapping[str, Sequence[PriceRule]] | None = None,
        *,
        required: bool = False,
    ) -> None:
        self.required = required
        self.table: PriceTable | None = None
        self._rules = rules
        self._own = own or {}
        self._known: dict[tuple[str, str | None, str | None], Price | None] = {}
        self._reporting: dict[str, bool] = {}

    async def load(self) -> None:
        """Read the table, unless that was done. Awaited before the first request is routed."""
        if self.table is None:
            self.table = await asyncio.to_thread(read_table)

    def loaded(self) -> PriceTable:
        """Return the table; read it unless it was read before. For commands."""
        if self.table is None:
            self.table = read_table()
        return self.table

    def find(self, provider: Provider, model: str | None, answered: str | None = None) -> Price | None:
        """Return the prices of a model at a provider; None when no price is known.

        `model` is the name in the request, `answered` that in the answer.
        """
        key = (provider.name, model, answered)
        try:
            return self._known[key]
        except KeyError:
            if len(model or "") > _LONGEST_NAME or len(answered or "") > _LONGEST_NAME:
                return None
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            price = self._known[key] = self._find(provider, model, answered)
            return price

    def _find(self, provider: Provider, model: str | None, answered: str | None) -> Price | None:
        for rule in (*self._own.get(provider.name, ()), *self._rules):
            if any(name is not None and fnmatchcase(name, rule.pattern) for name in (model, answered)):
                return rule.price
        names = [answered, model]
        if answered is not None and model is not None and answered.lower() in model.lower():
            names = [model, answered]
        table = self.loaded()
        list_name = table.list_for(provider.type, provider.address)
        if list_name is None:
            return None
        return next((price for name in names if name and (price := table.price(list_name, name)) is not None), None)

    def _reports_cost(self, provider: Provider) -> bool:
        """Return whether answers of the provider say what they cost, in USD."""
        reports = self._reporting.get(provider.name)
        if reports is None:
            table = self.loaded()
            name = table.list_for(provider.type, provider.address)
            reports = self._reporting[provider.name] = name is not None and table.list(name)[0].reports_cost
        return reports

    def cost(self, target: Target, model: str | None, usage: Usage | None, answered: str | None = None) -> float | None:
        """Return what an answer with `usage` costs in USD; None where its price or a count is unknown.

        `model` is the name in the request, `answered` that in the answer.
        """
        price = self.find(target.provider, model, answered)
        details = None if usage is None else usage.details
        if isinstance(details, UsageDetails) and details.cost_usd is not None:
            configured = price is not None and price.source == ""
            if not configured and self._reports_cost(target.provider):
                return details.cost_usd
        if price is None:
            return None
        cost = price.cost(usage)
        return None if cost is None else round(cost, _DIGITS)

    def estimate(self, route: Route, model: str | None, input_tokens: int, output_tokens: int) -> float | None:
        """Return what a call of `route` with so many tokens costs in USD at most, over its targets; None where no price
        is known."""
        usage = Usage(input=input_tokens, output=output_tokens)
        costs = [self.cost(target, target.model or model, usage) for target in route.targets]
        return max((cost for cost in costs if cost is not None), default=None)

    def priced_route(self, route: Route, exchange: Exchange) -> Route:
        """Return `route` with the targets at which the model has a price. Raises ProxyError when there is none."""
        model = exchange.model
        if model is None:
            return route
        targets = tuple(each for each in route.targets if self.find(each.provider, each.model or model) is not None)
        if not targets:
            first = route.targets[0]
            raise ProxyError(
                f"The price of the model {first.model or model!r} at the provider {first.provider.name!r} is unknown, "
                "and require_price is set. Add it to `prices` in the configuration, or choose another model",
                status=403,
                code="price_unknown",
            )
        return route if len(targets) == len(route.targets) else replace(route, targets=targets)

    def charge(self, exchange: Exchange) -> None:
        """Set what the exchange and its calls cost, once: when the answer is known, before `on_end`.

        Calls that failed cost nothing. Of several exchanges that share a call, the one that made it pays.
        """
        if exchange.charged:
            return
        exchange.charged = True
        calls = exchange.calls
        if not calls:
            exchange.cost_usd = self._share(exchange)
            return
        for call in calls[:-1]:
            call.cost_usd = 0.0
        last = calls[-1]
        exchange.cost_usd = last.cost_usd = self._cost_of(exchange, last)
        last.left = exchange.outcome == "cancelled"

    def charge_answer(self, exchange: Exchange, answer: Answer) -> None:
        """Charge an exchange whose whole answer is known, and put its cost into the head."""
        self.charge(exchange)
        if exchange.cost_usd is not None and (exchange.calls or exchange.cache == "hit"):
            answer.headers[COST_HEADER] = format_usd(exchange.cost_usd)

    def _share(self, exchange: Exchange) -> float | None:
        """Return what an exchange pays that made no call: nothing, but for what its call cost after the client left for
        which it was made."""
        call = exchange.call
        if call is None or not call.left or exchange.summary.usage is None:
            return 0.0
        cost = self._cost_of(exchange, call)
        call.left = False
        paid, call.cost_usd = call.cost_usd, cost
        return None if cost is None else round(max(cost - (paid or 0.0), 0.0), _DIGITS)

    def _cost_of(self, exchange: Exchange, call: Call) -> float | None:
        summary, endpoint = exchange.summary, exchange.endpoint
        if exchange.websocket is not None:
            return exchange.websocket.cost_usd
        if summary.usage is None:
            failed = call.error is not None or (exchange.status or 0) >= 400 or exchange.outcome == "error"
            counts = endpoint.dialect.token_count if endpoint is not None else None
            if failed or (counts is not None and endpoint is not None and counts.path == endpoint.path):
                return 0.0
        answered = summary.model
        if answered == exchange.model != call.model:
            answered = None  # the client's word for it: the answer named none
        return self.cost(call.target, call.model, summary.usage, answered)


def format_usd(cost: float) -> str:
    """Return an amount without an exponent: `0.0000028`, `0`, `1.5`."""
    text = f"{cost:.{_DIGITS}f}".rstrip("0").rstrip(".")
    return text or "0"
