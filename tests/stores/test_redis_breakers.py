from __future__ import annotations

import pytest

from llmproxy.stores.breakers import Outage
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.redis import RedisStore
from tests.support.redis_server import RedisServer


async def test_what_others_wrote_there_keeps_no_target_out(redis_server: RedisServer, namespace: str) -> None:
    store = RedisStore(RedisStore.Config(type="redis", url=redis_server.url, namespace=namespace))
    breakers = store.breakers()
    key = f"{{{namespace}:breakers}}"
    redis_server.ask("HSET", key, "one", "rubbish", "two", "1 2 3", "ümlaut", "-1 x 3 4")
    assert set((await breakers.outages()).values()) == {Outage()}
    assert await breakers.probe("one", 1.0)
    redis_server.ask("SET", key, "no hash")
    with pytest.raises(StoreFault):
        await breakers.outages()
    await store.close()


async def test_a_store_of_breakers_is_forgotten_after_a_day(redis_server: RedisServer, namespace: str) -> None:
    store = RedisStore(RedisStore.Config(type="redis", url=redis_server.url, namespace=namespace))
    await store.breakers().trip("one", 30.0)
    assert 86_000 < redis_server.ask("TTL", f"{{{namespace}:breakers}}") <= 86_400
    await store.close()
