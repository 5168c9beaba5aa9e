"""Failover and retry: answer an exchange by calls to the targets of its route, until one answers or nothing more may be
tried.

`attempt_series.py` makes one call after the other. Begin reading at `Failover.answer`.
"""

from __future__ import annotations

from functools import lru_cache

from llmproxy.answer import Answer
from llmproxy.errors import ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.failover.attempt_series import AttemptSeries, FailoverContext
from llmproxy.failover.shadow import ShadowCalls
from llmproxy.limiting.usage import expected_tokens, used_tokens
from llmproxy.route import Route
from llmproxy.wire.http import header_text


class Failover(FailoverContext):
    """Answers exchanges by calls to the targets of their routes. Where a route has a shadow, `shadows` calls it too."""

    shadows: ShadowCalls | None = None

    async def answer(self, exchange: Exchange, route: Route) -> Answer:
        """Return the first good answer of the route's targets; else the answer of the last one, or raise its error."""
        try:
            if route.plain:
                answer = await self.attempts.make(exchange, route, route.targets[0])
            else:
                if route.shadow is not None and self.shadows is not None and not exchange.upgrade:
                    self.shadows.begin(exchange, route, route.shadow)
                answer = await AttemptSeries(self, exchange, route).run()
        except ProxyError as error:
            if exchange.calls:
                error.headers = (*error.headers, *_facts(exchange))
            raise
        if exchange.calls:
            answer.headers.update(_facts(exchange))
        return answer

    def finish(self, exchange: Exchange) -> None:
        """Take note that the answer of an exchange is over: whole, broken, or its client left."""
        if not exchange.calls:
            return
        last = exchange.calls[-1]
        for call in exchange.calls:  # of several, where a middleware has repeated the call
            if call.settle is not None:
                call.settle_once(used_tokens(exchange, expected_tokens(exchange))[0] if call is last else None)
                self.health.lines.freed()
            if call.running:
                call.end_running()
                if exchange.outcome == "broken" and isinstance(exchange.error, UpstreamError):
                    assert call.target.health is not None, "counted there"
                    call.target.health.breaker.fail(self.now())


def _facts(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """Return the headers that say who answered, the calls made so far."""
    calls = exchange.calls
    return _headers(calls[-1].target.provider.name, calls[-1].model, len(calls))


@lru_cache(maxsize=256)
def _headers(provider: str, model: str | None, attempts: int) -> tuple[tuple[str, str], ...]:
    named = () if model is None else (("x-llmproxy-model", header_text(model)),)
    return ("x-llmproxy-provider", provider), *named, ("x-llmproxy-attempts", str(attempts))
