"""The line of requests whose targets are all at their limit."""

from __future__ import annotations

from llmproxy.routing import limit_line
from llmproxy.routing.limit_line import LimitLines, LinePlace


def enter(lines: LimitLines, clients: str) -> list[LinePlace]:
    places = [lines.enter("m", client) for client in clients]
    assert all(places)
    return [place for place in places if place is not None]


def test_clients_take_turns_and_the_requests_of_each_come_in_their_order() -> None:
    lines = LimitLines()
    waiting = dict(enumerate(enter(lines, "aaabbc")))
    served = []
    while waiting:
        (first,) = [number for number, place in waiting.items() if place.first.is_set()]
        served.append(first)
        waiting.pop(first).leave()
    assert served == [0, 1, 3, 5, 2, 4] and lines.is_empty("m") and lines.waiting == 0


def test_who_leaves_lets_the_next_one_try_and_leaves_no_gap() -> None:
    lines = LimitLines()
    first, second, third = enter(lines, "aaa")
    second.leave()
    second.leave()
    assert not third.first.is_set() and lines.waiting == 2
    first.leave()
    assert third.first.is_set()
    third.leave()
    assert lines.is_empty("m") and lines.waited == 3


def test_the_lines_are_bounded_and_apart_by_route() -> None:
    lines = LimitLines()
    one, two = lines.enter("m", "a"), lines.enter("n", "a")
    assert one is not None and two is not None and one.first.is_set() and two.first.is_set()
    lines.waiting = limit_line.MOST_WAITING
    assert lines.enter("m", "b") is None
