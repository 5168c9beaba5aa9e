from __future__ import annotations

import pytest
from msgspec.msgpack import encode

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.quota_queue import Batch
from llmproxy.stores.quotas import Quota, Settlement
from llmproxy.stores.redis_link import RedisLink
from llmproxy.stores.redis_url import parse_redis_url
from tests.stores.conftest import Clock
from tests.support.redis_server import RedisServer
from tests.support.stores import LoneRedisQuotas

MINUTE = Quota(key="minute", kind="window", limit=10, per_s=60)
TOTAL = Quota(key="total", kind="total", limit=100)


def quotas(server: RedisServer, namespace: str, clock: Clock | None = None) -> LoneRedisQuotas:
    return LoneRedisQuotas(RedisLink(parse_redis_url(server.url)), namespace, clock)


async def test_counters_end_with_what_they_count(redis_server: RedisServer, namespace: str) -> None:
    store = quotas(redis_server, namespace)
    await store.start()
    await store.take([MINUTE, TOTAL], [1, 1])
    ttls = [redis_server.ask("PTTL", f"{{{namespace}:quotas}}:{key}") for key in ("minute", "total")]
    await store.close()

    assert 110_000 < ttls[0] <= 120_000
    assert ttls[1] == -1


async def test_the_time_is_the_servers(redis_server: RedisServer, namespace: str, clock: Clock) -> None:
    store = quotas(redis_server, namespace)
    await store.start()
    taken = await store.take([MINUTE], [10])
    refused = await store.take([MINUTE], [1])
    await store.close()
    seconds = redis_server.ask("TIME")[0]

    assert abs(taken.slots[0] * 0.6 - int(seconds)) < 5
    assert 59 < refused.wait_s <= 60.6


async def test_a_batch_of_settlements_is_applied_once(redis_server: RedisServer, namespace: str) -> None:
    store = quotas(redis_server, namespace)
    await store.start()
    batch = Batch(7, [Settlement(quota=TOTAL, slot=0, taken=0, charged=5)])
    for _ in range(2):
        await store._send(batch, [])
    used = (await store.take([TOTAL], [0])).used
    await store.close()

    assert used == [5]


@pytest.mark.parametrize(
    "answer",
    [None, 7, b"", b"rubbish", encode([]), encode([[1]]), encode([[-1, 0, 0, "x", 1, 0, 0]]), encode([[-1, 0, 0]])],
)
async def test_an_answer_that_makes_no_sense_is_a_fault(
    redis_server: RedisServer, namespace: str, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def strange(*command: object) -> object:
        return answer

    store = quotas(redis_server, namespace)
    monkeypatch.setattr(store._link, "run", strange)
    await store.start()
    with pytest.raises(StoreFault):
        await store.take([MINUTE], [1])
    await store.close()


@pytest.mark.parametrize(
    "command", [("SET", "x"), ("HSET", "oldest", "x"), ("HSET", "1", "x", "oldest", "1", "newest", "1")]
)
async def test_a_counter_that_somebody_else_wrote_begins_anew(
    redis_server: RedisServer, namespace: str, clock: Clock, command: tuple[str, ...]
) -> None:
    clock.now_s = 0.0
    redis_server.ask(command[0], f"{{{namespace}:quotas}}:minute", *command[1:])
    store = quotas(redis_server, namespace, clock)
    await store.start()
    clock.now_s = 0.7
    await store._send(Batch(1, [Settlement(quota=MINUTE, slot=1, taken=0, charged=2)]), [])
    used = (await store.take([MINUTE, TOTAL], [1, 1])).used
    await store.close()

    assert used == [3, 1]
