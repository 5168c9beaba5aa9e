"""Shadow calls: recorded, bounded, never in the way, and cancelled at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.failover.shadow import MOST_RUNNING, ShadowCalls
from llmproxy.target import Target
from llmproxy.target_health import BreakerSettings, TargetHealth
from tests.support.targets import Line, Moody, Outcome

WORD = b'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


class Watched:
    """Shadow calls to one target, and what was recorded of them."""

    def __init__(self, *script: Outcome) -> None:
        self.provider = Moody("other", *script)
        self.line = Line(Moody("one"))
        self.recorded: list[tuple[Exchange, bytes]] = []
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.calls = ShadowCalls(self.line.failover.attempts, lambda *ended: self.recorded.append(ended), self.counts)
        self.target = Target(provider=self.provider, model="m2")

    def begin(self, budget: MemoryBudget | None = None, **members: object) -> Exchange:
        exchange = self.line.exchange(**members)
        exchange.budget = budget
        self.calls.begin(exchange, self.line.route, self.target)
        return exchange

    async def ended(self) -> None:
        await asyncio.gather(*self.calls._tasks)


async def test_a_copy_is_sent_and_recorded_beside_the_first() -> None:
    watched = Watched(WORD)
    budget = watched.line.budget
    exchange = watched.begin(budget, stream=True)
    await watched.ended()
    [(copy, body)] = watched.recorded
    assert body == WORD and copy.summary.finish_reason == "stop" and copy.summary.complete
    assert (copy.request_id, copy.outcome, copy.status) == (exchange.request_id, "complete", 200)
    assert copy.id != exchange.id and copy.route is not None and copy.route.name == "m (shadow)"
    assert watched.provider.asked[0].held.model == "m2" and exchange.held.model == "m"
    assert exchange.calls == [] and budget.used_bytes == 0
    assert watched.counts == {("other", "m2", "success"): 1}


async def test_a_shadow_that_fails_is_recorded_as_an_error() -> None:
    watched = Watched("down")
    watched.begin()
    await watched.ended()
    [(copy, body)] = watched.recorded
    assert (copy.outcome, copy.status, body) == ("error", 502, b"")
    assert watched.counts == {("other", "m2", "error"): 1}


async def test_so_many_are_under_way_at_most_and_all_are_cancelled_at_the_end() -> None:
    watched = Watched("hang")
    budget = MemoryBudget(1 << 20)
    for _ in range(MOST_RUNNING + 3):
        watched.begin(budget)
    await asyncio.sleep(0)
    assert len(watched.provider.asked) == MOST_RUNNING
    assert watched.counts == {("other", "m2", "left_out"): 3}
    await watched.calls.close()
    assert not watched.calls._tasks and budget.used_bytes == 0 and watched.recorded == []


async def test_without_room_in_memory_none_is_made() -> None:
    watched = Watched(200)
    watched.begin(MemoryBudget(3))
    assert watched.counts == {("other", "m2", "left_out"): 1} and not watched.calls._tasks


async def test_a_shadow_that_streamed_is_no_longer_under_way() -> None:
    watched = Watched(WORD)
    watched.target = replace(watched.target, health=TargetHealth("other", "m2", BreakerSettings()))
    watched.begin(stream=True)
    await watched.ended()
    assert watched.target.health is not None and watched.target.health.running == 0
