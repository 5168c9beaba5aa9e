"""Values that are bounded in bytes. How the stores in memory behave is in `test_blobs`."""

from __future__ import annotations

from llmproxy.stores.lru import LRU_ENTRY_BYTES, ByteBoundedLru


def test_the_longest_unused_are_removed_beyond_the_bound_of_the_writer() -> None:
    values = ByteBoundedLru()
    for number in range(10):
        values.set(str(number), b"x" * 100, 60.0, 1 << 20)
    assert values.get("0") and values.size_bytes == 10 * (LRU_ENTRY_BYTES + 101)
    values.set("new", b"x" * 98, 60.0, 3 * (LRU_ENTRY_BYTES + 101))
    assert list(values.values) == ["9", "0", "new"]
    values.set("large", b"x" * 5000, 60.0, 1000)
    assert values.get("large") is None and values.get("new")


def test_a_value_that_is_set_again_counts_once() -> None:
    values = ByteBoundedLru()
    for _ in range(3):
        values.set("k", b"x", 60.0, 1000)
    assert values.size_bytes == LRU_ENTRY_BYTES + 2
    assert values.delete("k") and not values.delete("k") and values.size_bytes == 0


def test_a_value_whose_time_is_over_is_gone() -> None:
    now_s = 0.0
    values = ByteBoundedLru(lambda: now_s)
    values.set("k", b"x", 10.0, 1000)
    now_s = 10.0
    assert values.get("k") is None and values.size_bytes == 0
