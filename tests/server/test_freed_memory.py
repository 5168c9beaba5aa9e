"""Memory goes back to the system after a burst."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import platform
from collections.abc import Callable

import pytest

from llmproxy.server import freed_memory
from llmproxy.server.freed_memory import FreedMemory, limit_heap, trim
from tests.support.waiting import until_async


class Cycle:
    """An object that only the garbage collector frees."""

    freed = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Cycle.freed += 1


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many objects were freed at each call of `trim`, which does nothing here."""
    calls: list[int] = []
    monkeypatch.setattr(freed_memory, "trim", lambda: calls.append(Cycle.freed))
    monkeypatch.setattr(freed_memory, "DELAY_S", 0.01)
    monkeypatch.setattr(Cycle, "freed", 0)
    return calls


async def test_what_only_the_collector_frees_is_freed_before_the_heap_is_trimmed(trims: list[int]) -> None:
    gc.disable()
    try:
        Cycle()
        FreedMemory().expect()
        await until_async(lambda: bool(trims), "the heap to be trimmed")
    finally:
        gc.enable()
    assert trims == [1]


async def test_many_bursts_are_followed_by_one_return(trims: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory, "INTERVAL_S", 0.1)
    memory = FreedMemory()
    for _ in range(5):
        memory.expect()
    await until_async(lambda: len(trims) == 1, "the heap to be trimmed")
    began_s = asyncio.get_running_loop().time()
    memory.expect()
    memory.expect()
    await until_async(lambda: len(trims) == 2, "the heap to be trimmed again")
    assert asyncio.get_running_loop().time() - began_s > 0.05


async def test_after_the_end_nothing_is_returned(trims: list[int]) -> None:
    memory = FreedMemory()
    memory.expect()
    memory.close()
    await asyncio.sleep(0.03)
    assert not trims


@pytest.mark.parametrize("act", [trim, limit_heap])
def test_only_where_the_c_library_can_the_heap_is_handled(
    act: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert act() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not act()
