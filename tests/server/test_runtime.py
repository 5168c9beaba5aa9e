"""How components are started and closed, whatever they do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from llmproxy.errors import ProxyError
from llmproxy.middleware.base import Middleware
from llmproxy.registry import RegistryError
from llmproxy.server import runtime
from llmproxy.server.runtime import Component, Runtime
from tests.support.waiting import until_async


class Part(Middleware):
    """Does what the test says when it starts and closes."""

    def __init__(self, start: Any = None, close: Any = None) -> None:
        super().__init__(self.Config())
        self._start, self._close = start, close
        self.closed = False

    async def start(self) -> None:
        if self._start is not None:
            raise self._start

    async def close(self) -> None:
        self.closed = True
        if isinstance(self._close, BaseException):
            raise self._close
        while self._close is not None:
            await self._close()


def made(*parts: Part) -> Runtime:
    anything: Any = None
    components = [
        Component(part=part, who=f"middleware '{number}'", place=f"x.yaml:{number}:1: middlewares[{number}]")
        for number, part in enumerate(parts)
    ]
    return Runtime(
        pipeline=anything, admin=anything, limits=anything, admission=anything, components=components, middlewares=[]
    )


@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(3), asyncio.CancelledError(), OSError(13, "not yours")])
async def test_a_start_that_fails_names_entry_and_line_in_one_line(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    first = Part()
    with pytest.raises(RegistryError) as raised:
        await made(first, Part(start=error)).start()
    message = str(raised.value)
    assert message.startswith("x.yaml:1:1: middlewares[1]: middleware '1' cannot start: ") and "\n" not in message
    assert type(error).__name__ in message or "PermissionError" in message
    assert f"({__file__}, line " in message
    assert first.closed and not caplog.records, "the traceback is for level debug"


async def test_a_refusal_to_start_is_told_in_its_own_words() -> None:
    with pytest.raises(RegistryError, match="cannot start: no room for traces"):
        await made(Part(start=ProxyError("no room for traces"))).start()


async def test_a_start_that_takes_long_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(Part):
        """Starts once it was complained about."""

        async def start(self) -> None:
            await until_async(lambda: caplog.records, "the complaint")

    monkeypatch.setattr(runtime, "_SLOW_START_S", 0.01)
    await made(Slow()).start()
    assert "middleware '0' is still starting" in caplog.text


@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(3), asyncio.CancelledError()])
async def test_a_close_that_fails_keeps_no_other_from_it(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    first = Part()
    here = made(first, Part(close=error))
    await here.start()
    await here.retire()
    assert first.closed and "middleware '1' cannot be closed" in caplog.text and not here.late


async def test_a_close_that_does_not_end_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    first = Part()
    here = made(first, Part(close=lambda: asyncio.sleep(0.01)), Part())
    await here.start()
    end_s = time.monotonic() + 0.4
    await here.retire(lambda: max(end_s - time.monotonic(), 0.01))
    assert first.closed and here.late == ["middleware '1'"] and "middleware '1' does not close" in caplog.text


async def test_an_exchange_that_does_not_leave_is_not_waited_for_longer_than_there_is_time() -> None:
    first = Part()
    here = made(first)
    await here.start()
    here.enter()
    await here.retire(lambda: 0.05)
    assert first.closed
