"""Pipelines without a configuration: over a router, and what sends requests upstream."""

from __future__ import annotations

from llmproxy.exchange import MemoryBudget
from llmproxy.failover.attempt import Attempts
from llmproxy.failover.failover import Failover
from llmproxy.middleware.hooks import Hooks
from llmproxy.pipeline import Pipeline
from llmproxy.pricing.prices import Prices
from llmproxy.routing.affinity import Affinity
from llmproxy.routing.health import Health
from llmproxy.routing.router import Router
from llmproxy.stores.memory import MemoryResponses
from llmproxy.target import OpenUpstream
from llmproxy.translation.translator import Translator


def pipeline_over(
    router: Router,
    open_: OpenUpstream,
    hooks: Hooks | None = None,
    *,
    budget: MemoryBudget | None = None,
    translator: Translator | None = None,
    affinity: Affinity | None = None,
) -> Pipeline:
    """Return a pipeline to the targets of `router`, whose requests `open_` sends; without prices."""
    budget = budget or MemoryBudget(1 << 20)
    translator = translator or Translator(MemoryResponses(1 << 20), budget)
    failover = Failover(Attempts(open_, budget, translator), Health())
    return Pipeline(router, hooks or Hooks([]), failover, translator, Prices(), affinity)
