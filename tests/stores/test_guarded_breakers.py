from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from llmproxy.stores.breakers import Outage
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.guarded_breakers import GuardedBreakers
from llmproxy.stores.memory_breakers import MemoryBreakers


class SlowBreakers(MemoryBreakers):
    """Answers as soon as it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def outages(self) -> Mapping[str, Outage]:
        await self.may_answer.wait()
        return await super().outages()


async def test_a_slow_store_fails_in_time_and_is_used_again_when_it_answers() -> None:
    slow = SlowBreakers()
    slow.may_answer.set()
    guarded = GuardedBreakers(slow, "the store", timeout_s=0.02, first_rest_s=0.01)
    await guarded.start()
    await guarded.trip("one", 30.0)
    await guarded.rest("one", 30.0)
    assert not await guarded.probe("one", 1.0) and guarded.available
    slow.may_answer.clear()
    with pytest.raises(StoreFault):
        await guarded.outages()
    with pytest.raises(StoreFault):
        await guarded.reset("one")
    assert not guarded.available and guarded.fault_reason
    slow.may_answer.set()
    while not guarded.available:  # noqa: ASYNC110  # the guard has no event for that
        await asyncio.sleep(0.005)
    assert list(await guarded.outages()) == ["one"]
    await guarded.close()
