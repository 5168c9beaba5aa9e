"""The order in which a pass calls the targets of a route.

Begin reading at `order_targets`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from llmproxy.exchange import Exchange
from llmproxy.route import Route
from llmproxy.routing.health import Health
from llmproxy.routing.sealed_history import SealedHistory, history_of
from llmproxy.target import Target


def order_targets(
    exchange: Exchange, route: Route, targets: Sequence[Target], health: Health, now: Callable[[], float]
) -> Iterable[Target]:
    """Return the healthy targets in the order of the strategy, those of weight 0 behind all others. In front
    stand those that sealed the thinking in the history; for them the strategy is not consulted."""
    if health.out:
        now_s = now()
        targets = [each for each in targets if each.health is None or each.health.breaker.admits(now_s)]
    if health.resting_until_s > -math.inf and health.resting_until_s > (now_s := now()):
        targets = [each for each in targets if each.health is None or each.health.limits.rest_until_s <= now_s]
    if len(targets) < 2:
        return targets
    history = history_of(exchange)
    return _by_strategy(exchange, route, targets) if history is None else _by_history(exchange, route, targets, history)


def _by_history(
    exchange: Exchange, route: Route, targets: Sequence[Target], history: SealedHistory
) -> Iterator[Target]:
    first = history.first(targets, exchange.model)
    yield from first
    if others := [each for each in targets if each not in first]:
        yield from _by_strategy(exchange, route, others)


def _by_strategy(exchange: Exchange, route: Route, targets: Sequence[Target]) -> Sequence[Target]:
    if not route.has_reserves:
        return route.order(exchange, targets)
    first = [each for each in targets if each.weight]
    reserves = [each for each in targets if not each.weight]
    return [*(route.order(exchange, first) if first else ()), *reserves]
