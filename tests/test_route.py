"""Routes: the order in which targets are tried, and what the strategy hears of the calls."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from llmproxy.call import Call
from llmproxy.client_request import ClientRequest
from llmproxy.errors import ComponentFailed
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


class Odd(Strategy):
    """Orders and reports as the test says."""

    def __init__(self, order: Any) -> None:
        self._order = order

    def order(self, targets: Sequence[Target], request: ClientRequest) -> Sequence[Target]:
        return self._order(targets)  # type: ignore[no-any-return]

    def report(self, target: Target, outcome: Call) -> None:
        raise SystemExit


@pytest.mark.parametrize(
    "order",
    [lambda _: None, lambda _: [], lambda _: ["gpt"], lambda _: iter(()), lambda _: 1 / 0, lambda _: sys.exit()],
)
def test_a_strategy_that_orders_wrongly_is_named(order: Any, caplog: pytest.LogCaptureFixture) -> None:
    route = Route(name="fast", targets=(FIRST,), strategy=Odd(order))
    with pytest.raises(ComponentFailed, match="order of strategy 'Odd'"):
        route.order(ended())
    assert "order of strategy 'Odd' of the model 'fast'" in caplog.text


def test_a_strategy_that_fails_in_report_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    Route(name="fast", targets=(FIRST,), strategy=Odd(list)).report(FIRST, new_call())
    assert "report of strategy 'Odd' of the model 'fast' failed with SystemExit" in caplog.text
