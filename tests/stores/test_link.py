"""Calls between two processes: how they are made, how they fail, and what is left when an end is gone."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from llmproxy.server.process import loop_factory
from llmproxy.stores import link as links
from llmproxy.stores.facet import StoreFault, StoreRefusal
from llmproxy.stores.link import Link, Operation
from tests.support.waiting import PATIENCE_S


class Point(msgspec.Struct, frozen=True):
    """A value of a type."""

    x: int
    y: float


ECHO: Operation[object] = Operation("echo")
MOVE: Operation[Point] = Operation("move", tuple[Point, int], Point)
WAIT: Operation[str] = Operation("wait", tuple[str], str)


@asynccontextmanager
async def linked(*serve: tuple[Operation[Any], Callable[..., object]]) -> AsyncIterator[tuple[Link, Link]]:
    """Two ends: of a worker, and of the parent, who serves."""
    worker, parent = Link("the parent"), Link("the worker")
    for operation, handler in serve:
        parent.serve(operation, handler)
    ends = socket.socketpair()
    await worker.connect(ends[0])
    await parent.connect(ends[1])
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield worker, parent
    finally:
        await worker.close()
        await parent.close()


async def test_a_call_gets_what_the_peer_returns_at_either_end() -> None:
    async with linked((ECHO, lambda value: value)) as (worker, parent):
        assert await worker.call(ECHO, {"a": [1, None, b"x"]}) == {"a": [1, None, b"x"]}
        worker.serve(ECHO, lambda value: [value])
        assert await parent.call(ECHO, 1) == [1]


async def test_values_arrive_with_their_types() -> None:
    async with linked((MOVE, lambda point, by: Point(point.x + by, point.y))) as (worker, _):
        assert await worker.call(MOVE, Point(1, float("inf")), 2) == Point(3, float("inf"))


async def test_calls_run_side_by_side_and_are_answered_out_of_order() -> None:
    events: dict[str, asyncio.Event] = {name: asyncio.Event() for name in "ab"}

    async def wait(name: str) -> str:
        await events[name].wait()
        return name

    async with linked((WAIT, wait), (ECHO, lambda value: value)) as (worker, _), asyncio.TaskGroup() as group:
        calls = {name: group.create_task(worker.call(WAIT, name)) for name in "ab"}
        assert await worker.call(ECHO, 1) == 1
        events["b"].set()
        assert await calls["b"] == "b" and not calls["a"].done()
        events["a"].set()
        assert await calls["a"] == "a"


async def test_messages_are_done_in_order_with_calls() -> None:
    done: list[object] = []
    async with linked((ECHO, done.append)) as (worker, _):
        worker.notify(ECHO, 1)
        call = worker.call(ECHO, 2)
        worker.notify(ECHO, 0)
        assert await call is None
        worker.notify(ECHO, 3)
        await worker.call(ECHO, 4)
    assert done == [1, 0, 2, 3, 4]


@pytest.mark.parametrize("fault", [StoreFault("slow"), StoreRefusal("full")])
async def test_a_fault_of_the_peer_is_the_same_fault_here(fault: StoreFault) -> None:
    def fail(value: object) -> None:
        raise fault

    async def fail_later(value: str) -> str:
        await asyncio.sleep(0)
        raise fault

    async with linked((ECHO, fail), (WAIT, fail_later)) as (worker, _):
        operations: list[Operation[Any]] = [ECHO, WAIT]
        for operation in operations:
            with pytest.raises(type(fault)) as raised:
                await worker.call(operation, "")
            assert type(raised.value) is type(fault) and str(raised.value) == str(fault)


async def test_a_mistake_of_the_peer_is_a_fault_here_and_logged_there(caplog: pytest.LogCaptureFixture) -> None:
    def fail(value: object) -> None:
        raise LookupError("nothing there")

    async with linked((ECHO, fail), (MOVE, lambda *_: "no point")) as (worker, _):
        with pytest.raises(StoreFault, match="failed with LookupError; the log of the parent"):
            await worker.call(ECHO, 1)
        assert "LookupError: nothing there" in caplog.text
        with pytest.raises(StoreFault, match="failed with ValidationError"):
            await worker.call(MOVE, "no point", 1)
        with pytest.raises(StoreFault, match="something else"):
            await worker.call(MOVE, Point(1, 1), 1)
        with pytest.raises(StoreFault, match="nothing serves 'wait'"):
            await worker.call(WAIT, "x")
        worker.notify(ECHO, 1)  # nobody is there to be told
        assert not worker.closed


async def test_what_cannot_be_sent_is_refused_and_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_FRAME_BYTES", 1000)
    async with linked((ECHO, lambda value: value * 2)) as (worker, _):
        for value in ("\ud800", 1 << 70, b"x" * 1000):
            with pytest.raises(StoreRefusal):
                await worker.call(ECHO, value)
            with pytest.raises(StoreRefusal):
                worker.notify(ECHO, value)
        with pytest.raises(TypeError):
            await worker.call(ECHO, object())
        with pytest.raises(StoreRefusal):
            await worker.call(ECHO, b"x" * 600)
        assert await worker.call(ECHO, 2) == 4


async def test_large_values_pass_in_pieces_beside_small_ones() -> None:
    async with linked((ECHO, lambda value: value)) as (worker, _):
        values: list[object] = [bytes([number]) * size for number, size in enumerate((5 << 20, 0, 1 << 16, 3 << 20))]
        assert await asyncio.gather(*(worker.call(ECHO, value) for value in values)) == values


async def test_all_calls_end_soon_when_the_peer_is_gone() -> None:
    forever = asyncio.Event()

    async def wait(name: str) -> str:
        await forever.wait()
        return name

    told: list[str] = []
    async with linked((WAIT, wait)) as (worker, parent):
        worker.on_close(lambda: told.append("worker"))
        parent.on_close(lambda: told.append("parent"))
        calls = [asyncio.ensure_future(worker.call(WAIT, "x")) for _ in range(3)]  # noqa: TID251  # awaited below
        await asyncio.sleep(0)
        await parent.close()
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, StoreFault)
        await worker.wait_closed()
        assert worker.closed and parent.closed and sorted(told) == ["parent", "worker"]
        with pytest.raises(StoreFault, match="the parent is gone"):
            await worker.call(WAIT, "x")
        with pytest.raises(StoreFault):
            worker.notify(WAIT, "x")


async def test_what_was_sent_before_the_end_arrives() -> None:
    done: list[object] = []
    async with linked((ECHO, done.append)) as (worker, parent):
        worker.notify(ECHO, b"x" * (4 << 20))
        worker.notify(ECHO, 2)
        await worker.close()
        await parent.wait_closed()
    assert done[1:] == [2]


async def test_who_no_longer_waits_harms_nobody_and_may_have_the_result() -> None:
    go, unclaimed = asyncio.Event(), asyncio.Queue[str]()

    async def wait(name: str) -> str:
        await go.wait()
        return name

    async with linked((WAIT, wait), (ECHO, lambda value: value)) as (worker, _):
        for name in "ab":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await worker.call(WAIT, name, unclaimed=unclaimed.put_nowait if name == "a" else None)
        assert await worker.call(ECHO, 1) == 1
        go.set()
        assert await unclaimed.get() == "a"
        assert await worker.call(ECHO, 1) == 1 and unclaimed.empty()


async def test_a_result_that_came_in_the_turn_in_which_its_caller_left_is_unclaimed_too() -> None:
    unclaimed: list[object] = []
    leave: Operation[bool] = Operation("leave")
    async with linked() as (worker, parent):
        call = asyncio.get_running_loop().create_task(worker.call(ECHO, 7, unclaimed=unclaimed.append))

        def echo(value: object) -> object:
            asyncio.get_running_loop().call_soon(parent.notify, leave)  # goes out with the answer
            return value

        parent.serve(ECHO, echo)
        worker.serve(leave, call.cancel)
        with pytest.raises(asyncio.CancelledError):
            await call
    assert unclaimed == [7]


async def test_calls_beyond_the_bound_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_CALLS", 4)
    running, most, go = 0, 0, asyncio.Event()

    async def count(name: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1
        return name

    async with linked((WAIT, count)) as (worker, parent):
        worker.serve(ECHO, lambda value: value)
        calls = [asyncio.get_running_loop().create_task(worker.call(WAIT, str(number))) for number in range(20)]
        await parent.call(ECHO, 1)
        assert running == 4
        go.set()
        assert await asyncio.gather(*calls) == [str(number) for number in range(20)]
    assert most == 4


async def test_a_peer_that_does_not_read_makes_calls_wait_and_messages_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_BACKLOG_BYTES", 1 << 20)
    here, there = socket.socketpair()
    worker = Link("the parent")
    await worker.connect(here)
    with pytest.raises(StoreFault, match="does not read"):
        for _ in range(100):
            worker.notify(ECHO, b"x" * (1 << 18))
            await asyncio.sleep(0)
    call = asyncio.get_running_loop().create_task(worker.call(ECHO, 1))
    await asyncio.sleep(0)
    assert not worker._calls
    there.close()
    with pytest.raises(StoreFault):
        await call
    await worker.close()


@pytest.mark.parametrize(
    "said",
    [b"\xff\xff\xff\xff", bytes(4), b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\1\x90", b"\0\0\0\4\x93\x07\xa1="],
    ids=["too long", "empty", "http", "no call", "answer to nothing"],
)
async def test_a_peer_that_speaks_something_else_is_left(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    here, there = socket.socketpair()
    with there:
        worker = Link("the parent")
        await worker.connect(here)
        there.sendall(said + b"\xc0" * (b"=" in said))
        async with asyncio.timeout(PATIENCE_S):
            await worker.wait_closed()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_handler_may_close_the_link() -> None:
    async with linked() as (worker, parent):

        async def close(name: str) -> str:
            await parent.close()
            return name

        parent.serve(WAIT, close)
        with pytest.raises(StoreFault):
            await worker.call(WAIT, "x")


def test_it_works_on_the_loop_of_the_program() -> None:
    async def scenario() -> object:
        async with linked((ECHO, lambda value: value)) as (worker, _):
            await worker.call(ECHO, b"x" * (1 << 20))
            return await asyncio.gather(*(worker.call(ECHO, number) for number in range(100)))

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert runner.run(scenario()) == list(range(100))
    gc.collect()
