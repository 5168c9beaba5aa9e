"""What every store does with the state of the Responses API, beyond what it does with values."""

from __future__ import annotations

import asyncio

import pytest

from tests.stores.conftest import MakeResponses


async def test_many_values_come_back_in_the_order_of_their_keys(make_responses: MakeResponses) -> None:
    responses = await make_responses()
    await responses.set("a", b"first", 60.0)
    await responses.set("b", b"second" * 1000, 60.0)
    assert await responses.get_many(["b", "none", "a"]) == [b"second" * 1000, None, b"first"]
    assert await responses.get_many(["none"]) == [None]


async def test_a_value_is_replaced_only_if_nobody_changed_it(make_responses: MakeResponses) -> None:
    responses = await make_responses()
    before = b"before" * 1000
    assert not await responses.replace("k", before, b"after", 60.0)
    await responses.set("k", before, 60.0)
    assert await responses.replace("k", before, b"after", 60.0)
    assert not await responses.replace("k", before, b"again", 60.0)
    assert await responses.get("k") == b"after"


async def test_of_several_that_replace_the_same_value_one_does(make_responses: MakeResponses) -> None:
    writers = [await make_responses() for _ in range(3)]
    await writers[0].set("k", b"0", 60.0)
    done = await asyncio.gather(*(each.replace("k", b"0", str(n).encode(), 60.0) for n, each in enumerate(writers, 1)))
    assert sum(done) == 1
    assert await writers[0].get("k") == str(done.index(True) + 1).encode()


async def test_the_longest_unused_are_removed_beyond_the_bound(make_responses: MakeResponses, kind: str) -> None:
    if kind in ("redis", "cluster"):
        pytest.skip("a Redis server bounds itself")
    responses = await make_responses(10_000)
    for number in range(20):
        await responses.set(str(number), b"x" * 1000, 60.0)
        assert await responses.get("0")
    assert await responses.get("1") is None and await responses.get("19")


async def test_a_value_that_is_deleted_is_gone(make_responses: MakeResponses) -> None:
    responses = await make_responses()
    await responses.set("k", b"x", 60.0)
    assert await responses.delete("k") and not await responses.delete("k")
    assert await responses.get("k") is None
