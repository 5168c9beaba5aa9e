from __future__ import annotations

import pytest
from multidict import CIMultiDict

from llmproxy.client_request import Client
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.exchange import Exchange
from llmproxy.metrics import activity
from llmproxy.metrics.activity import Activity, Rate
from tests.metrics.test_counters import ended


def by(address: str, session: str | None = None, name: str | None = None) -> Exchange:
    headers = CIMultiDict({"x-session-id": session} if session else {})
    return ended(client=Client(address=address, name=name), headers=headers)


def counted(*exchanges: Exchange, outcome: str = "success") -> Activity:
    made = Activity()
    for number, exchange in enumerate(exchanges):
        made.count(exchange, outcome, 100.25 + number)
    return made


def rate(*moments: float) -> Rate:
    made = Rate()
    for moment in moments:
        made.add(moment)
    return made


def test_the_rate_is_that_of_the_last_minute() -> None:
    made = rate(*(1000.0 + n / 10 for n in range(600)))

    assert made.per_second(1059.9, 5000) == 10
    assert made.per_second(1089.9, 5000) == 5
    assert made.per_second(1200, 5000) == 0


def test_before_a_minute_is_over_the_rate_is_that_of_the_time_since_the_start() -> None:
    made = rate(1000.5, 1001.0, 1001.5)

    assert made.per_second(1003.0, 3) == 1
    assert made.per_second(1003.0, 0.01) == 3


def test_a_second_of_another_minute_is_not_counted_in() -> None:
    assert rate(1000.0, 1060.0).per_second(1060.5, 5000) == 1 / 60


def test_each_client_and_session_is_counted_for_itself() -> None:
    made = counted(by("a", "s1"), by("b", "s1"), by("a"))

    assert {name: tally.requests for name, tally in made.clients.items()} == {"a": 2, "b": 1}
    assert [(name, tally.requests, tally.client) for name, tally in made.sessions.items()] == [("s1", 2, "b")]


def test_outcomes_times_and_tokens_are_added_up() -> None:
    made = Activity()
    made.count(ended(summary=Summary(usage=Usage(input=3, output=4))), "success", 100.25)
    made.count(ended(), "cancelled", 100.5)
    made.count(ended(), "error", 101.0)

    tally = made.clients["127.0.0.1"]
    assert (tally.requests, tally.succeeded, tally.cancelled) == (3, 1, 1)
    assert (tally.first_s, tally.last_s, tally.spent_s) == (100.0, 101.0, 1.75)
    assert (tally.input, tally.output, tally.reasoning) == (3, 4, None)


def test_only_those_seen_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MAX_CLIENTS", 2)
    monkeypatch.setattr(activity, "MAX_SESSIONS", 2)

    made = counted(by("a", "1"), by("b", "2"), by("a", "1"), by("c", "3"))

    assert list(made.clients) == ["a", "c"] and list(made.sessions) == ["1", "3"]
    assert made.sessions_begun == 3


def test_a_session_is_active_for_an_hour() -> None:
    made = counted(by("a", "1"), by("a", "2"))

    assert made.active_sessions(200) == 2
    assert made.active_sessions(101 + 3600) == 1
    assert made.active_sessions(9000) == 0
