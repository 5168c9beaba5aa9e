from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

from llmproxy.middleware.base import Middleware
from llmproxy.middleware.cache import Cache
from llmproxy.server.user_frames import UserFrames
from tests.support.waiting import until


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


class Waiting(Middleware):
    """Waits in a thread and in a task."""

    @decorated
    def block(self, event: threading.Event) -> None:
        event.wait()

    async def wait(self) -> None:
        await self._inner()

    async def _inner(self) -> None:
        await asyncio.get_running_loop().create_future()


def test_a_thread_is_in_the_method_that_it_runs() -> None:
    waiting, event = Waiting(Waiting.Config()), threading.Event()
    frames = UserFrames([("middleware 'x'", waiting)])
    thread = threading.Thread(target=waiting.block, args=(event,))
    thread.start()
    assert until(lambda: frames.running(thread.ident or 0), "the thread").startswith("block of middleware 'x' (")
    event.set()
    thread.join()
    assert frames.running(thread.ident or 0) == "" == frames.running(threading.get_ident())


async def test_a_task_waits_in_the_innermost_method() -> None:
    waiting = Waiting(Waiting.Config())
    frames = UserFrames([("middleware 'x'", waiting)])
    task = asyncio.get_running_loop().create_task(waiting.wait())
    await asyncio.sleep(0)
    assert frames.waiting(task.get_coro()).startswith("_inner of middleware 'x' (")
    task.cancel()
    assert frames.waiting(None) == ""


def test_components_of_ours_have_no_names() -> None:
    assert not UserFrames([("middleware 'cache'", Cache(Cache.Config()))])
    assert UserFrames([("middleware 'x'", Waiting(Waiting.Config()))])
