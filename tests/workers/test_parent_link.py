from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from llmproxy.config.load import load_from_python
from llmproxy.errors import ProxyError
from llmproxy.stores.link import Link
from llmproxy.workers.operations import CUT, STOP
from llmproxy.workers.order import Order
from llmproxy.workers.parent_link import ParentLink

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has one worker")


async def connected() -> tuple[ParentLink, Link]:
    loaded = load_from_python({"providers": [{"name": "s", "type": "stub"}]}, {}, environ={})
    assert loaded.source is not None
    ours, theirs = socket.socketpair()
    channel, other = socket.socketpair()
    other.close()
    order = Order(number=1, count=2, pid=1, started_s=0.0, source=loaded.source, dotenv={}, path=[])
    worker, parent = ParentLink(order, theirs, channel), Link("the worker")
    await worker.connect()
    await parent.connect(ours)
    return worker, parent


async def test_a_stop_that_came_while_it_started_is_one() -> None:
    worker, parent = await connected()
    parent.notify(STOP)
    await parent.close()
    await worker.link.wait_closed()
    begun: list[str] = []
    with worker.stop_signals(lambda: begun.append("stop"), lambda: begun.append("cut")) as stop:
        assert stop.is_set() and begun == ["stop"]
    worker.channel.close()


async def test_the_parent_can_hurry_it() -> None:
    worker, parent = await connected()
    done = asyncio.Event()
    with worker.stop_signals(lambda: None, done.set) as stop:
        await parent.call(STOP)
        await parent.call(CUT)
        assert stop.is_set() and done.is_set()
    await parent.close()
    await worker.link.wait_closed()
    worker.channel.close()


async def test_without_a_parent_pages_say_that_the_server_stops() -> None:
    worker, parent = await connected()
    await parent.close()
    await worker.link.wait_closed()
    for asking in (worker.stats(), worker.reload("SIGHUP")):
        with pytest.raises(ProxyError) as caught:
            await asking
        assert (caught.value.status, caught.value.code) == (503, "stopping")
    worker.channel.close()
