"""Strategies, found by name as the configuration will name them."""

from __future__ import annotations

from pathlib import Path

from llmproxy.registry import find_component
from llmproxy.route import Route
from llmproxy.routing.strategies import Priority
from llmproxy.settings import Strict
from tests.support.exchanges import ended, new_call

FIRST, SECOND = new_call("first").target, new_call("second").target


def test_priority_is_found_by_name_and_keeps_the_order_of_the_configuration() -> None:
    assert find_component("strategies", "priority", Path()) is Priority
    route = Route(name="m", targets=(FIRST, SECOND), strategy=Priority(Strict()))
    assert list(route.order(ended())) == [FIRST, SECOND]
