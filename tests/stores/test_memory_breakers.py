from __future__ import annotations

from llmproxy.stores.base import StoreConfig
from llmproxy.stores.memory import MemoryStore


async def test_whoever_asks_the_store_sees_the_same_targets() -> None:
    store = MemoryStore(MemoryStore.Config(type="memory"))
    await store.breakers().trip("one", 30.0)
    assert list(await store.breakers().outages()) == ["one"]
    assert await MemoryStore(StoreConfig(type="memory")).breakers().outages() == {}
