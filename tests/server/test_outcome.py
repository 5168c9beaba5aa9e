from __future__ import annotations

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.exchange import Exchange
from llmproxy.server.outcome import outcome_of
from llmproxy.wire.sse import SSE
from tests.support.exchanges import new_exchange

STREAM = Answer(status=200, headers=Headers(), framing=SSE)
PLAIN = Answer(status=200, headers=Headers())


def over(before: str, path: str = "/v1/chat/completions", *, complete: bool) -> Exchange:
    exchange = new_exchange(path)
    exchange.outcome, exchange.summary.complete = before, complete
    return exchange


@pytest.mark.parametrize("before", ["error", "broken", "cancelled"])
def test_what_is_known_already_stays(before: str) -> None:
    assert outcome_of(over(before, complete=True), STREAM, reads=True) == before


@pytest.mark.parametrize(("complete", "outcome"), [(True, "complete"), (False, "incomplete")])
def test_a_stream_that_was_sent_is_complete_with_its_last_event_only(complete: bool, outcome: str) -> None:
    assert outcome_of(over("complete", complete=complete), STREAM, reads=True) == outcome
    assert outcome_of(over("complete", complete=complete), PLAIN, reads=True) == "complete"
    assert outcome_of(over("complete", "/v1/audio/speech", complete=complete), STREAM, reads=True) == "complete"


@pytest.mark.parametrize(
    ("answer", "complete", "reads", "outcome"),
    [
        (STREAM, True, True, "complete"),
        (STREAM, True, False, "cancelled"),
        (STREAM, False, True, "cancelled"),
        (PLAIN, True, True, "cancelled"),
        (None, False, True, "cancelled"),
    ],
)
def test_a_client_that_leaves_has_had_all_only_after_the_last_event_that_it_read(
    answer: Answer | None, complete: bool, reads: bool, outcome: str
) -> None:
    assert outcome_of(over("", complete=complete), answer, reads=reads) == outcome
