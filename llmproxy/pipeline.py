"""The steps of a request, in order: hooks, route, failover among its targets. All that is between server and pool.

`answer` returns an Answer whose beginning is certain. Until then nothing is sent and another target may take over;
afterwards none does. It knows no HTTP framing and no vendor.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from llmproxy.access.permission import hide_names, permitted_route
from llmproxy.answer import Answer, close_on_failure
from llmproxy.body import Body
from llmproxy.caching.control import take_settings
from llmproxy.decision_log import DecisionLog
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.failover.failover import Failover
from llmproxy.failover.shadow import ShadowCalls
from llmproxy.middleware.hooks import Hooks
from llmproxy.pricing.prices import Prices
from llmproxy.route import Route
from llmproxy.routing.affinity import STORED_HERE, Affinity
from llmproxy.routing.router import ResolvedPath, Router
from llmproxy.routing.sealed_history import SealedHistories
from llmproxy.translation.reframing import reframed
from llmproxy.translation.translator import Translator


class Pipeline:
    """Answers requests as one configuration says. Immutable; a new configuration gets a new one."""

    def __init__(
        self,
        router: Router,
        hooks: Hooks,
        failover: Failover,
        translator: Translator,
        prices: Prices,
        affinity: Affinity | None = None,
        sealed: SealedHistories | None = None,
    ) -> None:
        self.router = router
        self.affinity = affinity
        self.sealed = sealed
        self.translator = translator
        self.hooks = hooks
        self.prices = prices
        self.failover = failover
        self.shadows = failover.shadows = ShadowCalls(
            failover.attempts, self._record_shadow, failover.health.shadow_calls
        )

    async def answer(self, exchange: Exchange, resolved: ResolvedPath) -> Answer:
        """Route the exchange and get its answer, up to the commit point. Raises ProxyError when there is none."""
        if self.prices.table is None:
            await self.prices.load()
        return reframed(exchange, await self._answer(exchange, resolved))

    async def _answer(self, exchange: Exchange, resolved: ResolvedPath) -> Answer:
        if self.hooks.on_request:
            answer = await self._on_request(exchange, resolved)
            if answer is not None:
                return answer
        take_settings(exchange)
        if resolved.provider is None and resolved.endpoint is not None and not resolved.endpoint.model:
            answer = await self.translator.answer_stored(exchange, alone=not self.router.has_responses)
            if answer is not None:
                return answer
        route = exchange.route
        if route is None:
            route = exchange.route = self._route(exchange, resolved)
        if self.prices.required:
            route = exchange.route = self.prices.priced_route(route, exchange)
        if self.hooks.around:
            return await self._around(exchange, route)
        return await self._call(exchange, route)

    async def _call_maker(self, affinity: Affinity, exchange: Exchange, route: Route) -> Answer:
        """Call the provider that made what the request names, where it names something, and learn what is made now."""
        if not route.relay or route.targets[0].provider.rotates:
            maker = await affinity.maker(exchange)
            if maker is not None and not route.relay:
                route = exchange.route = self._towards(exchange, route, maker)
        answer = await self._call_targets(exchange, route)
        await close_on_failure(affinity.learn(exchange, answer), answer)
        return answer

    def _call_targets(self, exchange: Exchange, route: Route) -> Awaitable[Answer]:
        sealed = self.sealed
        if sealed is None or route.plain or route.relay:
            return self.failover.answer(exchange, route)
        return self._call_sealer(sealed, exchange, route)

    async def _call_sealer(self, sealed: SealedHistories, exchange: Exchange, route: Route) -> Answer:
        """Call the targets of the route, the one first that sealed the thinking in the history, and learn what is
        sealed now."""
        if sealed.may_know(exchange, lambda: any(self.translator.needed(exchange, each) for each in route.targets)):
            await sealed.find(exchange)
        answer = await self.failover.answer(exchange, route)
        if sealed.may_learn(exchange, answer):
            await close_on_failure(sealed.learn(exchange, answer), answer)
        return answer

    def _towards(self, exchange: Exchange, route: Route, maker: str) -> Route:
        """Return the route with those targets that know what the request names, whose `maker` is a provider,
        STORED_HERE or unknown; the whole route where none is known to."""
        endpoint = exchange.endpoint
        if maker and maker != STORED_HERE:
            targets = tuple(target for target in route.targets if target.provider.name == maker)
            if not targets and endpoint is not None and not endpoint.model:
                direct = self.router.direct(maker)
                key = exchange.client.key
                if direct is None or "x-llmproxy-provider" in exchange.headers:
                    return route
                return direct if key is None or not key.restricted else permitted_route(key, direct, exchange)
        elif endpoint is not None and endpoint.model and endpoint.dialect.stateful:
            ours = maker == STORED_HERE
            targets = tuple(each for each in route.targets if self.translator.needed(exchange, each) is ours)
        else:
            return route
        if not targets or len(targets) == len(route.targets):
            return route
        return replace(route, targets=targets, why=f"{route.why}, to the maker of what it names")

    def _call(self, exchange: Exchange, route: Route) -> Awaitable[Answer]:
        if self.affinity is not None:
            return self._call_maker(self.affinity, exchange, route)
        return self._call_targets(exchange, route)

    async def _around(self, exchange: Exchange, route: Route) -> Answer:
        """Call the route's targets within the middlewares that may answer instead."""
        answer = await self.hooks.call(exchange, lambda each: self._call(each, route))
        if not exchange.calls:
            await close_on_failure(self.translator.recall(exchange, answer, route), answer)
        return answer

    async def _on_request(self, exchange: Exchange, resolved: ResolvedPath) -> Answer | None:
        """Call `on_request` of the middlewares, which may answer. One of them may accept a model that no route has, so
        an unknown model is refused only afterwards.
        """
        try:  # contextlib.suppress would cost another microsecond
            exchange.route = self._route(exchange, resolved)
        except ProxyError:
            exchange.route = None
        model, raw = exchange.model, _raw(exchange)
        answer = await self.hooks.request(exchange)
        if isinstance(exchange.body, Body) and exchange.body.raw is not raw:
            chosen = exchange.model
            exchange.read_model()
            if chosen != model:
                exchange.model = chosen
        if exchange.model != model:
            exchange.route = None
        return answer

    def _route(self, exchange: Exchange, resolved: ResolvedPath) -> Route:
        key = exchange.client.key
        try:
            route = self.router.choose(resolved, exchange.model, exchange.headers.get("x-llmproxy-provider"))
            return route if key is None or not key.restricted else permitted_route(key, route, exchange)
        except ProxyError as error:
            if key is not None and error.status == 404:
                hide_names(key, exchange, error)
            if exchange.model is None and isinstance(exchange.body, Body):
                exchange.body.require_object()  # a body that cannot be read names no model either
                exchange.body.require_text("model")
            raise

    def _record_shadow(self, exchange: Exchange, body: bytes) -> None:
        self.prices.charge(exchange)
        self.hooks.record_shadow(exchange, body)

    def finish(self, exchange: Exchange) -> None:
        """Take note that an exchange has ended. Called once for each, before `on_end`."""
        self.failover.finish(exchange)
        self.prices.charge(exchange)


class LoggedPipeline(Pipeline):
    """The same, with a line in the log for each decision."""

    decisions = DecisionLog()

    async def answer(self, exchange: Exchange, resolved: ResolvedPath) -> Answer:
        try:
            answer = await super().answer(exchange, resolved)
        except ProxyError as error:
            self.decisions.refused(exchange, error)
            raise
        self.decisions.answered(exchange, answer)
        return answer

    async def _on_request(self, exchange: Exchange, resolved: ResolvedPath) -> Answer | None:
        answer = await super()._on_request(exchange, resolved)
        self.decisions.recognised(exchange)
        return answer

    def _route(self, exchange: Exchange, resolved: ResolvedPath) -> Route:
        route = super()._route(exchange, resolved)
        self.decisions.routed(exchange, route)
        return route


def _raw(exchange: Exchange) -> bytes | None:
    return exchange.body.raw if isinstance(exchange.body, Body) else None
