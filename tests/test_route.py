"""Routes: the order in which targets are tried, and what the strategy hears of the calls."""

from __future__ import annotations

from collections.abc import Sequence

from llmproxy.call import Call
from llmproxy.client_request import ClientRequest
from llmproxy.route import Route, Strategy
from llmproxy.target import Target
from tests.support.exchanges import ended, new_call

FIRST, SECOND = new_call("first").target, new_call("second").target


class LastFirst(Strategy):
    """Tries the last target first, and keeps what is reported."""

    def __init__(self) -> None:
        self.reports: list[tuple[Target, int | None]] = []

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        return targets[::-1]

    def report(self, target: Target, outcome: Call) -> None:
        self.reports.append((target, outcome.status))


def test_targets_are_tried_as_configured_unless_a_strategy_says_otherwise() -> None:
    route = Route(name="m", targets=(FIRST, SECOND))
    assert list(route.order(ended())) == [FIRST, SECOND]
    route.report(FIRST, new_call(status=500))


def test_a_route_asks_its_strategy_and_reports_to_it() -> None:
    strategy = LastFirst()
    route = Route(name="m", targets=(FIRST, SECOND), strategy=strategy)
    assert list(route.order(ended())) == [SECOND, FIRST]
    route.report(SECOND, new_call(status=429))
    assert strategy.reports == [(SECOND, 429)]
