"""What connections share, when a server begins."""

from __future__ import annotations

from llmproxy.exchange import MemoryBudget
from llmproxy.metrics.counters import Metrics
from llmproxy.server.shared import Shared
from tests.support.proxy import Listening


def test_a_new_one_serves_nobody_and_does_not_stop() -> None:
    with Listening() as server:
        shared = Shared(server.runtime, Metrics(), MemoryBudget(1))
        assert (shared.running, shared.stopping, shared.runtime) == ({}, False, server.runtime)
