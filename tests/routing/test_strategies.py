"""Strategies: recorded sequences, counts over cycles, spread, and what happens when a target goes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from llmproxy.registry import config_of, find_component, names
from llmproxy.route import Strategy
from llmproxy.routing.strategies import Cheapest, Fastest, LeastBusy, Priority, RoundRobin, Sticky, Weighted
from llmproxy.settings import Strict
from llmproxy.target import Target
from llmproxy.target_health import BreakerSettings, TargetHealth
from tests.support.exchanges import NamedProvider, ended


def made(*weights: int) -> tuple[Target, ...]:
    """Return targets a, b, c... with these weights."""
    letters = [chr(ord("a") + place % 26) * (1 + place // 26) for place in range(len(weights))]
    return tuple(
        Target(provider=NamedProvider(each), weight=weight, health=TargetHealth(each, None, BreakerSettings()))
        for each, weight in zip(letters, weights, strict=True)
    )


def firsts(strategy: Strategy, targets: Sequence[Target], count: int, session: str | None = None) -> str:
    """Return the names of the first targets of so many requests."""
    return "".join(strategy.order(targets, ended(session=session))[0].provider.name for _ in range(count))


def health(target: Target) -> TargetHealth:
    assert target.health is not None
    return target.health


@pytest.mark.parametrize("name", names("strategies"))
def test_every_strategy_is_found_by_name_and_returns_each_target_once(name: str) -> None:
    component = find_component("strategies", name, Path())
    strategy = component(config_of(component)())
    targets = made(3, 1, 2, 1)
    for _ in range(20):
        assert sorted(each.provider.name for each in strategy.order(targets, ended())) == list("abcd")
        assert len(strategy.order(targets[:1], ended())) == 1


def test_priority_keeps_the_order_of_the_configuration() -> None:
    assert firsts(Priority(Strict()), made(1, 5), 3) == "aaa"


@pytest.mark.parametrize(
    ("weights", "cycle"),
    [((5, 1, 1), "aabacaa"), ((1, 1), "ab"), ((3, 1), "aaba"), ((4, 2, 1), "abacaba"), ((1,), "a")],
)
def test_weights_are_exact_over_each_cycle_and_evenly_spread(weights: tuple[int, ...], cycle: str) -> None:
    assert firsts(Weighted(Strict()), made(*weights), 3 * len(cycle)) == 3 * cycle


def test_the_turns_of_large_weights_are_never_far_apart() -> None:
    sequence = firsts(Weighted(Strict()), made(50, 30, 20), 200)
    assert Counter(sequence[:100]) == Counter(sequence[100:]) == {"a": 50, "b": 30, "c": 20}
    assert max(len(gap) for gap in sequence.split("c")) <= 6


def test_weights_hold_among_those_that_are_left() -> None:
    targets, strategy = made(5, 1, 1), Weighted(Strict())
    firsts(strategy, targets, 3)
    assert Counter(firsts(strategy, targets[1:], 10)) == {"b": 5, "c": 5}
    assert firsts(strategy, targets, 4) == "acaa"  # it goes on where it was


def test_weights_hold_among_those_that_each_request_may_go_to() -> None:
    targets, strategy = made(5, 1, 1), Weighted(Strict())
    some, others = "", ""
    for _ in range(14):
        some += firsts(strategy, targets[:2], 1)
        others += firsts(strategy, targets[1:], 1)
    assert Counter(some[:12]) == {"a": 10, "b": 2} and Counter(others) == {"b": 7, "c": 7}


def test_round_robin_goes_around() -> None:
    strategy, targets = RoundRobin(Strict()), made(9, 1, 1)
    assert firsts(strategy, targets, 7) == "abcabca"
    assert [each.provider.name for each in strategy.order(targets, ended())] == ["b", "c", "a"]


def test_the_least_busy_target_is_first_and_equals_take_turns() -> None:
    strategy, targets = LeastBusy(Strict()), made(1, 1, 1)
    assert firsts(strategy, targets, 6) == "abcabc"
    health(targets[0]).running = health(targets[2]).running = 2
    assert firsts(strategy, targets, 3) == "bbb"


def test_of_two_targets_at_random_the_faster_one_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    strategy, targets = Fastest(Strict()), made(1, 1, 1)
    strategy._random = Random(1).random
    for target, took_s in zip(targets, (3.0, 1.0, 2.0), strict=True):
        health(target).note_first_token(took_s, 100.0, stream=False)
    counts = Counter(firsts(strategy, targets, 300))
    assert counts["a"] == 0 and counts["b"] > counts["c"] > 0
    monkeypatch.setattr(time, "monotonic", lambda: 400.0)
    health(targets[1]).note_first_token(1.0, 400.0, stream=False)
    assert Counter(firsts(strategy, targets, 300))["a"] > 0  # it was slow long ago


class _Prices:
    def cost(self, target: Target, model: str | None, usage: object) -> float | None:
        return {"a": 3.0, "b": None, "c": 1.0}[target.provider.name]


def test_the_cheapest_target_is_first_and_unknown_prices_come_last() -> None:
    strategy = Cheapest(Cheapest.Config())
    strategy.use_prices(_Prices())
    targets = made(1, 1, 1)
    for each in (targets, targets, targets[::-1]):
        assert [target.provider.name for target in strategy.order(each, ended())] == ["c", "a", "b"]


def test_a_session_keeps_its_target_and_only_sessions_of_a_lost_target_move() -> None:
    targets = made(1, 1, 1, 1)
    before = {name: firsts(Sticky(Strict()), targets, 1, name) for name in map(str, range(400))}
    assert before == {name: firsts(Sticky(Strict()), targets, 1, name) for name in before}
    assert min(Counter(before.values()).values()) > 60
    left = Sticky(Strict())
    for name, chosen in before.items():
        now = firsts(left, targets[1:], 1, name)
        assert now == chosen if chosen != "a" else now in "bcd"


def test_sessions_are_spread_by_weight_and_clients_without_one_stay_together() -> None:
    strategy, targets = Sticky(Strict()), made(6, 2, 2)
    counts = Counter(firsts(strategy, targets, 1, str(number)) for number in range(2000))
    assert 1080 < counts["a"] < 1320
    assert len(set(firsts(strategy, targets, 20))) == 1


@pytest.mark.parametrize("name", names("strategies"))
def test_choosing_among_a_hundred_targets_is_quick(name: str) -> None:
    component = find_component("strategies", name, Path())
    strategy, targets = component(config_of(component)()), made(*[place % 7 + 1 for place in range(100)])
    exchange, best_s = ended(session="s"), 1.0
    for _ in range(300):
        began_s = time.thread_time()
        strategy.order(targets, exchange)
        best_s = min(best_s, time.thread_time() - began_s)
    assert best_s < 15e-6 * 8  # the limit is 15 µs; a busy machine is much slower
