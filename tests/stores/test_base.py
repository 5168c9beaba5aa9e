"""What a store of somebody's own begins with."""

from __future__ import annotations

from llmproxy.stores.base import DEFAULT_STORE, StoreConfig, StoreReference
from llmproxy.stores.memory import MemoryStore


def test_a_store_has_a_name_for_logs() -> None:
    assert str(MemoryStore(StoreConfig(type="memory"))) == "the store of type 'memory'"


def test_a_middleware_uses_the_default_store_unless_it_names_another() -> None:
    assert StoreReference().store == DEFAULT_STORE
