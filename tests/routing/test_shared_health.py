"""Two processes that share which targets are out, without a socket: each has its own health and clock."""

from __future__ import annotations

from llmproxy.routing.health import Health
from llmproxy.routing.shared_health import SharedHealth
from llmproxy.stores.breakers import OutageRow
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.memory_breakers import MemoryBreakers
from llmproxy.target_health import BreakerSettings, TargetHealth

SETTINGS = BreakerSettings(failures=1, recovery_s=30.0)


class Process:
    """A health with one target, `one/m`, shared through `rows`. While `down`, the store does not answer."""

    now_s = 1000.0
    down = False

    def __init__(self, rows: dict[str, OutageRow]) -> None:
        process = self

        class Store(MemoryBreakers):
            async def outages(self):  # type: ignore[no-untyped-def]  # as in the class above it
                if process.down:
                    raise StoreFault("gone")
                return await super().outages()

            async def trip(self, target: str, recovery_s: float) -> None:
                if process.down:
                    raise StoreFault("gone")
                await super().trip(target, recovery_s)

            async def probe(self, target: str, lease_s: float) -> bool:
                if process.down:
                    raise StoreFault("gone")
                return await super().probe(target, lease_s)

        self.health = Health()
        self.target: TargetHealth = self.health.of("one", "m", SETTINGS)
        self.shared = SharedHealth(self.health, Store(lambda: Process.now_s, rows), lambda: Process.now_s)
        self.health.shared = self.shared

    @property
    def admits(self) -> bool:
        return self.target.breaker.admits(Process.now_s)


async def both(*processes: Process) -> None:
    for process in (*processes, *processes):
        await process.shared.sync()


def pair() -> tuple[Process, Process]:
    rows: dict[str, OutageRow] = {}
    Process.now_s = 1000.0
    return Process(rows), Process(rows)


async def test_a_breaker_that_opens_in_one_opens_and_closes_in_the_other() -> None:
    one, two = pair()
    one.target.breaker.fail(Process.now_s)
    await both(one, two)
    assert not two.admits and two.health.out == 1
    Process.now_s += 30.0
    assert one.admits and two.admits
    assert one.target.breaker.enter(Process.now_s) and await one.shared.may_probe(one.target)
    assert not await two.shared.may_probe(two.target)
    one.target.breaker.succeed(Process.now_s, probe=True)
    await both(one, two)
    assert two.target.breaker.state == "closed" and two.health.out == 0


async def test_a_probe_that_fails_keeps_the_target_out_for_longer_everywhere() -> None:
    one, two = pair()
    one.target.breaker.fail(Process.now_s)
    await both(one, two)
    Process.now_s += 30.0
    one.target.breaker.enter(Process.now_s)
    assert await one.shared.may_probe(one.target)
    one.target.breaker.fail(Process.now_s, probe=True)
    await both(one, two)
    Process.now_s += 59.0
    assert not one.admits and not two.admits
    Process.now_s += 1.0
    assert two.admits


async def test_what_is_left_of_limits_is_known_everywhere() -> None:
    one, two = pair()
    one.health.rest(one.target, 20.0, Process.now_s)
    await both(one, two)
    assert two.target.limits.rest_until_s == Process.now_s + 20 and two.health.resting_until_s == Process.now_s + 20
    assert one.target.breaker.state == "closed"


async def test_without_the_store_each_decides_alone_and_tells_afterwards() -> None:
    one, two = pair()
    one.down = True
    one.target.breaker.fail(Process.now_s)
    await both(one, two)
    assert not one.admits and two.admits
    assert await one.shared.may_probe(one.target)
    one.down = False
    await both(one, two)
    assert not two.admits


async def test_a_store_that_lost_everything_keeps_who_is_out_out() -> None:
    rows: dict[str, OutageRow] = {}
    Process.now_s = 1000.0
    one, two = Process(rows), Process(rows)
    one.target.breaker.fail(Process.now_s)
    await both(one, two)
    for process in (one, two):
        process.down = True
    await both(one, two)
    rows.clear()
    for process in (one, two):
        process.down = False
    await both(one, two)
    assert not one.admits and not two.admits
