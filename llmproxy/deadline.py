"""Compute the deadline of an answer: by the time limit of its route, or by the client's headers.

Begin reading at `deadline_of`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from llmproxy.exchange import Exchange
from llmproxy.wire.retry_after import read_seconds

# The headers in which clients say how many seconds they wait: our own, and those of the SDKs of OpenAI and Anthropic.
PATIENCE_HEADERS = ("x-llmproxy-timeout", "x-stainless-read-timeout", "x-stainless-timeout")
# A client that waits less long says nothing about the target that it gives up; otherwise it could take a target from
# all others.
_PATIENT_S = 60.0
# The client must get the error before it gives up.
_MARGIN, _MOST_MARGIN_S = 0.05, 1.0


class Deadline(NamedTuple):
    """The deadline of an answer, math.inf for none; `impatient` says that a client in a hurry set it."""

    at_s: float = math.inf
    impatient: bool = False


def deadline_of(exchange: Exchange, timeout_s: float | None, now_s: float) -> Deadline:
    """Return the deadline of a request whose route has this time limit."""
    deadline = _NEVER if timeout_s is None else Deadline(now_s + timeout_s)
    for name in PATIENCE_HEADERS:
        if name in exchange.headers and (patience_s := read_seconds(exchange.headers[name])) is not None:
            at_s = exchange.started_s + patience_s - min(patience_s * _MARGIN, _MOST_MARGIN_S)
            if at_s < deadline.at_s:
                deadline = Deadline(at_s, patience_s < _PATIENT_S)
    return deadline


_NEVER = Deadline()
