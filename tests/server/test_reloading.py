"""Reloads one after the other, and what is remembered of them."""

from __future__ import annotations

import asyncio

import pytest

from llmproxy.errors import ProxyError
from llmproxy.server.reloading import Reloaded, Reloader, ReloadFailed


class OldRuntime:
    """Closes when it is told to."""

    def __init__(self) -> None:
        self.late: list[str] = []
        self.closing = "middleware 'slow'"
        self.may_close = asyncio.Event()

    async def retire(self) -> None:
        await self.may_close.wait()


def done(old: OldRuntime, *ignored: str) -> Reloaded:
    return Reloaded(changes=["x"], ignored=ignored, replaced=old, release=lambda: None)


async def test_before_and_after_serving_there_is_no_reload() -> None:
    reloader = Reloader()
    with pytest.raises(ProxyError, match="starting or stopping"):
        await reloader.reload("a test")
    assert not reloader.faults()


async def test_a_failure_is_remembered_until_one_succeeds() -> None:
    reloader, old = Reloader(), OldRuntime()
    old.may_close.set()
    outcomes: list[Reloaded | ReloadFailed] = [ReloadFailed("x.yaml:1:1: wrong"), done(old, "not now")]

    async def apply() -> Reloaded:
        outcome = outcomes.pop(0)
        if isinstance(outcome, ReloadFailed):
            raise outcome
        return outcome

    reloader.apply = apply
    with pytest.raises(ReloadFailed):
        await reloader.reload("a test")
    assert reloader.faults() == ["the changed configuration is not used: x.yaml:1:1: wrong"]
    await reloader.reload("a test")
    assert not reloader.faults()
    assert reloader.describe() == {"count": 1, "fault": None, "needs_restart": ("not now",)}


async def test_the_end_waits_for_runtimes_that_were_replaced_but_not_forever() -> None:
    reloader, old = Reloader(), OldRuntime()
    closed: list[OldRuntime] = []

    async def apply() -> Reloaded:
        return Reloaded(changes=[], ignored=[], replaced=old, release=lambda: closed.append(old))

    reloader.apply = apply
    await reloader.reload("a test")
    assert await reloader.close(0.01) == ["middleware 'slow'"]
    await reloader.reload("a test")
    old.may_close.set()
    assert await reloader.close(5) == [] and closed == [old]


async def test_an_error_of_ours_in_a_reload_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    reloader, over = Reloader(), asyncio.Event()

    async def apply() -> Reloaded:
        over.set()
        raise RuntimeError("a mistake")

    reloader.apply = apply
    reloader.begin("a test")
    await over.wait()
    await reloader.stop()
    assert "not reloaded (a test)" in caplog.text and "a mistake" in caplog.text


async def test_who_asks_may_leave_once_the_new_runtime_is_in_place() -> None:
    reloader, old, swapped = Reloader(), OldRuntime(), asyncio.Event()

    async def apply() -> Reloaded:
        return done(old)

    async def applied() -> None:
        swapped.set()
        await asyncio.Event().wait()

    reloader.apply, reloader.applied = apply, applied
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(reloader.reload("a test"))
        await swapped.wait()
        asking.cancel()
    old.may_close.set()
    assert list(reloader.retiring.values()) == [old] and await reloader.close(5) == []
