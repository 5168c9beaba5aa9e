"""The parent holds memory stores for its workers, each within its own bounds, for as long as one uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.facet_operations import FACET_KINDS
from llmproxy.stores.quotas import Quota
from llmproxy.stores.sessions import Visit
from tests.support.served_stores import Parent

PLACES = Quota(key="places", kind="running", limit=5)


@pytest.fixture
async def parent() -> AsyncIterator[Parent]:
    parent = Parent()
    yield parent
    await parent.close()


async def test_stores_of_different_settings_hold_nothing_in_common(parent: Parent) -> None:
    one, same, other = await parent.store("a"), await parent.store("a"), await parent.store("b")
    facets = [store.affinity(1 << 20) for store in (one, same, other)]
    for facet in facets:
        await facet.start()
    await facets[0].set("k", b"x", 60.0)
    assert [await facet.get("k") for facet in facets] == [b"x", b"x", None]


async def test_each_writer_keeps_the_data_within_its_own_bounds(parent: Parent) -> None:
    store = await parent.store()
    small, large = store.sessions(1, 60.0), store.sessions(10, 60.0)
    await small.start()
    await large.start()
    for name in "ab":
        await large.touch(Visit(tenant="t", client="c", keys=(), learn=(), session=name, now_s=1e12))
    assert (await large.counts()).active == 2
    await small.touch(Visit(tenant="t", client="c", keys=(), learn=(), session="c", now_s=1e12))
    assert (await small.counts()).active == 1


async def test_a_store_ends_with_the_last_worker_that_closes_it_but_outlives_a_crash(parent: Parent) -> None:
    first, second = [(await parent.store()).affinity(1 << 20) for _ in range(2)]
    await first.start()
    await second.start()
    await first.set("k", b"x", 60.0)
    await first.close()
    assert await second.get("k") == b"x"
    await parent.lose(second.parent)  # type: ignore[attr-defined]  # of a served facet
    third = (await parent.store()).affinity(1 << 20)
    await third.start()
    assert await third.get("k") == b"x", "the successor of a worker that died goes on with it"
    await third.close()
    fourth = (await parent.store()).affinity(1 << 20)
    await fourth.start()
    assert await fourth.get("k") is None


async def test_what_a_worker_holds_is_given_back_when_its_link_closes(parent: Parent) -> None:
    first, second = [(await parent.store()).quotas(10) for _ in range(2)]
    for facet in (first, second):
        await facet.start()
        await facet.take([PLACES], [2])
    assert (await second.take([PLACES], [2])).refused == 0
    await parent.lose(first.parent)  # type: ignore[attr-defined]  # of a served facet
    taken = await second.take([PLACES], [2])
    assert (taken.refused, taken.used) == (-1, [4])


async def test_a_facet_that_is_not_open_is_a_fault_and_nothing_worse(
    parent: Parent, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await parent.link()
    (get,) = (each.operation for each in FACET_KINDS["affinity"].operations if each.method == "get")
    with pytest.raises(StoreFault):
        await worker.call(get, 999, "k")
    assert "affinity.get" in caplog.text and not worker.closed
