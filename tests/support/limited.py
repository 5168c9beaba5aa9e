"""A server with limits and budgets, counted in a store of the test, at prices that are easy to reckon with."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from llmproxy.dialects.usage import Usage
from llmproxy.limit import Budget, Limit
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.limits import ClientLimits, QuotasConfig
from llmproxy.pricing.prices import Prices
from llmproxy.route import Route
from llmproxy.stores.open_stores import Stores
from llmproxy.target import Provider, Target
from tests.support.proxy import Listening
from tests.support.waiting import PATIENCE_S


class EasyPrices(Prices):
    """A dollar for each token; models that begin with `free` have no price."""

    def cost(self, target: Target, model: str | None, usage: Usage | None, answered: str | None = None) -> float | None:
        if usage is None or (model or "").startswith("free"):
            return None
        return float((usage.input or 0) + (usage.output or 0))

    def estimate(self, route: Route, model: str | None, input_tokens: int, output_tokens: int) -> float | None:
        return self.cost(route.targets[0], model, Usage(input=input_tokens, output=output_tokens))


class Limited:
    """The server and its limits. Begin reading at `limited`."""

    def __init__(self, server: Listening, limits: ClientLimits) -> None:
        self.server = server
        self.limits = limits

    def stats(self) -> dict[str, list[dict[str, object]]]:
        """Return what `/stats` shows."""

        async def read() -> object:
            return await self.limits.stats()

        return self.server.begin(read()).result(PATIENCE_S)  # type: ignore[return-value]  # lists of rows

    def used(self, kind: str) -> object:
        """Return what the counter of the only rule of that kind has now."""
        rows = [row for row in (*self.stats()["limits"], *self.stats()["budgets"]) if row["kind"] == kind]
        assert len(rows) == 1, rows
        return rows[0]["used"]


@contextlib.contextmanager
def limited(
    *rules: Limit | Budget,
    providers: Sequence[Provider],
    inner: Sequence[Middleware] = (),
    stores: Stores | None = None,
    clock: Callable[[], float] = time.time,
    denies: bool = False,
) -> Iterator[Limited]:
    """Yield the server; `inner` are the middlewares behind the limits."""
    config = QuotasConfig(on_store_failure="deny" if denies else "allow")
    limits = ClientLimits(config, rules, EasyPrices(), clock)
    stores = stores or Stores()
    limits.use_stores(stores)
    for each in inner:
        each.use_stores(stores)
    with Listening(*providers, middlewares=[limits, *inner]) as server:
        parts: list[Stores | Middleware] = [stores, limits, *inner]
        for part in parts:
            server.begin(part.start()).result(PATIENCE_S)
        try:
            yield Limited(server, limits)
        finally:
            for part in reversed(parts):
                server.begin(part.close()).result(PATIENCE_S)
