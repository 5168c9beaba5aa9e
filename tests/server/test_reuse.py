"""Which parts of a configuration serve the next one too."""

from __future__ import annotations

from llmproxy.server.reuse import Reuse
from llmproxy.stores.disk import DiskStore
from llmproxy.stores.open_stores import StorePool, Stores


class Part:
    """Opens one store."""

    def __init__(self, stores: Stores, store: str = "default") -> None:
        self.store = stores.open(store)

    async def start(self) -> None:
        """Start nothing."""

    async def close(self) -> None:
        """Close nothing."""


def test_a_part_serves_again_where_the_facts_it_was_made_from_are_equal() -> None:
    pool = StorePool()
    before = Reuse(Stores(pool))
    parts = [before.take(("x", number), Part) for number in (1, 1, 2)]
    assert len({id(each) for each in parts}) == 3, "two of the same are two"
    after = Reuse(Stores(pool), [before.component(each, "x") for each in parts])
    again = [after.take(("x", number), Part) for number in (1, 1, 1, 3)]
    assert again[:2] == parts[:2] and again[2] not in parts and again[3] not in parts
    assert after.component(again[0], "who", "where").uses is after.component(again[0], "x").uses


def test_a_part_is_made_anew_where_its_store_is_another_one() -> None:
    pool = StorePool()
    disk = {"default": (DiskStore, DiskStore.Config(type="disk", path="x.sqlite"))}
    before = Reuse(Stores(pool))
    part = before.take("x", Part)
    after = Reuse(Stores(pool, disk), [before.component(part, "x")])
    assert after.take("x", Part) is not part


def test_a_part_is_made_anew_where_its_store_is_gone() -> None:
    pool = StorePool()
    disk = {"mine": (DiskStore, DiskStore.Config(type="disk", path="x.sqlite"))}
    before = Reuse(Stores(pool, disk))
    part = before.take("x", lambda stores: Part(stores, "mine"))
    after = Reuse(Stores(pool), [before.component(part, "x")])
    assert after.take("x", Part) is not part
