from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest

from llmproxy.server.peers import ReloadReport, ServerHealth
from llmproxy.stores.link import Link, Operation
from llmproxy.workers import operations
from llmproxy.workers.operations import Answers, Failed, Ready, packed
from tests.support.waiting import PATIENCE_S

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "READY": (Ready(traces=["/t"]),),
    "START_FAILED": (Failed(message="m"),),
    "LEAVING": (),
    "COUNTED": (b"c",),
    "ASK": ("stats", b"q"),
    "RELOAD": ("SIGHUP",),
    "ANSWER_QUESTION": ("stats", b"q"),
    "RELOAD_HERE": ("SIGHUP",),
    "RENDER_METRICS": ("*/*",),
    "PING": (),
    "STOP": (),
    "CUT": (),
}
RESULTS: dict[str, Any] = {
    "ASK": Answers(parts=[b"a"], server=ServerHealth(workers=[], faults=["f"], reload={"count": 1})),
    "RELOAD": ReloadReport(changes=["c"], ignored=[], error=("wrong", 422, "bad")),
    "ANSWER_QUESTION": b"a",
    "RELOAD_HERE": ReloadReport(changes=[], ignored=["i"], traces=["/t"]),
    "RENDER_METRICS": (b"text", "text/plain"),
}


def test_each_operation_is_tried() -> None:
    assert {name for name, value in vars(operations).items() if isinstance(value, Operation)} == ARGUMENTS.keys()


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_arguments_and_results_arrive_as_they_were(name: str) -> None:
    one, other = Link("one"), Link("other")
    seen: list[tuple[Any, ...]] = []

    def handler(*arguments: Any) -> Any:
        seen.append(arguments)
        return RESULTS.get(name)

    operation = getattr(operations, name)
    other.serve(operation, handler)
    ends = socket.socketpair()
    await one.connect(ends[0])
    await other.connect(ends[1])
    async with asyncio.timeout(PATIENCE_S):
        assert await one.call(operation, *ARGUMENTS[name]) == RESULTS.get(name)
    assert seen == [ARGUMENTS[name]]
    await one.close()
    await other.close()


def test_a_message_is_decoded_by_its_type() -> None:
    assert msgspec.msgpack.decode(packed(Ready(traces=["x"])), type=Ready) == Ready(traces=["x"])
