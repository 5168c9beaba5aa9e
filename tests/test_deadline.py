"""When a client must have an answer."""

from __future__ import annotations

import math

import pytest

from llmproxy.deadline import Deadline, deadline_of
from tests.support.exchanges import new_exchange


@pytest.mark.parametrize(
    ("header", "timeout_s", "deadline"),
    [
        (None, None, Deadline()),
        (None, 10.0, Deadline(110.0)),
        ("1", 10.0, Deadline(100.95, impatient=True)),
        ("20", 10.0, Deadline(110.0)),
        ("600", None, Deadline(699.0)),
        ("0", None, Deadline()),
        ("-1", None, Deadline()),
        ("1e400", None, Deadline()),
    ],
)
def test_the_first_of_both_limits_counts(header: str | None, timeout_s: float | None, deadline: Deadline) -> None:
    headers = () if header is None else (("x-stainless-timeout", header),)
    exchange = new_exchange("/v1/chat/completions", *headers, body={})
    exchange.started_s = 100.0
    found = deadline_of(exchange, timeout_s, 100.0)
    assert (found.impatient, math.isinf(found.at_s)) == (deadline.impatient, math.isinf(deadline.at_s))
    assert math.isinf(found.at_s) or found.at_s == pytest.approx(deadline.at_s)
