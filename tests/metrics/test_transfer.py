from __future__ import annotations

from typing import Any

import msgspec
from multidict import CIMultiDict

from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.prometheus import render
from llmproxy.metrics.provider_json import providers_json
from llmproxy.metrics.stats import GROUPS, Snapshot
from llmproxy.metrics.transfer import MetricsState, add_state, state_of
from tests.metrics.test_counters import OPENAI, ended, recorded

USED = Summary(usage=Usage(input=7, output=5, cache_read=2))
EXCHANGES = (
    dict(summary=USED, cost_usd=0.5, stream=True),
    dict(model="gpt-4o-mini", status=429),
    dict(status=None, outcome="cancelled"),
    dict(target=None, cache="hit"),
)


def sent(metrics: Metrics) -> MetricsState:
    """Return the counters, as another process gets them."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state_of(metrics, activity=True)), type=MetricsState)


def text(metrics: Metrics) -> bytes:
    return render(metrics, "1", "")[0]


def page(metrics: Metrics) -> dict[str, Any]:
    shown = Snapshot.of(metrics, [], started_s=0.0, providers=["openai"], by=GROUPS).as_json()
    for row in shown["clients"]:  # type: ignore[attr-defined]
        del row["first_seen"], row["last_seen"]
    return {name: value for name, value in shown.items() if name != "requests"}


def test_the_sum_of_two_workers_is_what_one_would_have_counted() -> None:
    one, other = (recorded(*(ended(**each) for each in half)) for half in (EXCHANGES[:2], EXCHANGES[2:]))
    both = Metrics()
    for part in (one, other):
        add_state(both, sent(part))
    alone = recorded(*(ended(**each) for each in EXCHANGES))
    assert sorted(text(both).splitlines()) == sorted(text(alone).splitlines())
    assert page(both) == page(alone)
    assert providers_json(both) == providers_json(alone)


def test_what_is_under_way_is_added_too_and_what_nobody_knows_stays_unknown() -> None:
    one = Metrics(lambda: 5)
    one.begin()
    one.record(ended(target=OPENAI))
    one.begin()
    one.begin()
    both = Metrics()
    add_state(both, sent(one))
    add_state(both, sent(one))
    assert both.in_flight == 4 and sent(one).held_bytes == 5
    (calls,) = both.calls.values()
    assert (calls.count, calls.input, calls.usage_unknown) == (2, None, 2)


def test_a_session_of_two_workers_is_one() -> None:
    headers = CIMultiDict({"x-session-id": "s-1"})
    one, other = (recorded(ended(headers=headers, started_s=started_s)) for started_s in (100.0, 99.0))
    both = Metrics()
    for part in (one, other):
        add_state(both, sent(part))
    activity = both.activity
    assert activity.sessions_begun == 1 and activity.sessions["s-1"].requests == 2
    assert activity.sessions["s-1"].first_s == 99.0
    assert sum(count for _, count in activity.rate.events()) == 2
