"""Connect a worker with its parent process, from which its order and its connections come.

It answers the questions of other workers, asks them for pages, and takes the parent's commands to reload and to stop. A
parent that is gone is a signal to stop. Begin reading at `ParentLink`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec

from llmproxy.errors import ProxyError
from llmproxy.server.pages.admin import Admin
from llmproxy.server.peers import Counters, HealthPart, PagePart, PageQuestion, ReloadReport, ServerHealth, StatsPart
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.link import Link
from llmproxy.workers.operations import (
    ANSWER_QUESTION,
    ASK,
    COUNTED,
    COUNTERS,
    CUT,
    LEAVING,
    PING,
    READY,
    RELOAD,
    RELOAD_HERE,
    RENDER_METRICS,
    START_FAILED,
    STOP,
    Answers,
    Failed,
    Ready,
    packed,
)
from llmproxy.workers.order import Order

log = logging.getLogger(__name__)

T = TypeVar("T")

# How often the counters go to the parent, which has them when this process is killed; less often when they are many.
_SEND_EVERY_S = 0.2
_MOST_SHARE = 0.02


class ParentLink:
    """The link of one worker to its parent, for the other modules: `Peers` for its pages. `end` is the worker's socket
    of the link, `channel` the one from which it gets connections."""

    def __init__(self, order: Order, end: socket.socket, channel: socket.socket) -> None:
        self.order = order
        self.channel = channel
        self.link = Link("the parent process")
        self._end = end
        self._sent = 0
        self._stop = asyncio.Event()
        self._on_stop = self._on_cut = _nothing

    async def connect(self) -> None:
        """Begin to talk to the parent. `serve` of the link may be called before."""
        self.link.serve(STOP, self._begin_stop)
        self.link.serve(PING, lambda: None)
        self.link.serve(CUT, lambda: self._on_cut())
        self.link.on_close(self._begin_stop)
        await self.link.connect(self._end)

    async def fail(self, message: str) -> None:
        """Tell the parent that this worker cannot start, and why."""
        with contextlib.suppress(StoreFault):
            await self.link.call(START_FAILED, Failed(message=message))

    def ready(self, traces: list[str]) -> None:
        """Tell the parent that connections are served. Raises StoreFault."""
        self.link.notify(READY, Ready(traces=traces))

    @contextlib.asynccontextmanager
    async def answering(
        self, admin: Callable[[], Admin], reload: Callable[[str], Awaitable[ReloadReport]]
    ) -> AsyncIterator[None]:
        """Answer questions with the `admin` of the moment, reload when that is asked for, and send the counters, within
        the block and once more at its end."""

        async def answer(question: str, argument: bytes) -> bytes:
            return packed(await _answer(admin(), question, argument))

        async def metrics(accept: str) -> tuple[bytes, str]:
            return await admin().prometheus(accept)

        async def reload_here(reason: str) -> ReloadReport:
            return await reload(reason)

        self.link.serve(ANSWER_QUESTION, answer)
        self.link.serve(RENDER_METRICS, metrics)
        self.link.serve(RELOAD_HERE, reload_here)
        sending = asyncio.get_running_loop().create_task(self._send_counters(admin), name="send counters")
        try:
            yield
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def send_counters(self, admin: Admin) -> float:
        """Send what was counted, unless nothing was since the last time, or nobody is there to hear it. Return how many
        seconds encoding took, in which nothing else was done."""
        recorded, took_s = admin.recorded, 0.0
        if recorded != self._sent:
            counted = await admin.counters(activity=False)
            began_s = time.monotonic()
            counters = packed(counted)
            took_s = time.monotonic() - began_s
            with contextlib.suppress(StoreFault):
                self.link.notify(COUNTED, counters)
                self._sent = recorded
        return took_s

    @contextlib.contextmanager
    def stop_signals(self, stop_within: Callable[[], None], cut: Callable[[], None]) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the parent says that this worker stops, or is gone; `stop_within` is called
        then. `cut` is called when the parent says that it must be fast.

        SIGTERM stops this worker alone, in the same way: its parent starts another one. All other signals are for the
        parent.
        """

        def leave() -> None:
            with contextlib.suppress(StoreFault):
                self.link.notify(LEAVING)
            self._begin_stop()

        self._on_stop, self._on_cut = stop_within, cut
        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)
        if self._stop.is_set():  # before it began to serve
            stop_within()
        yield self._stop

    def _begin_stop(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._on_stop()

    async def counters(self, *, activity: bool) -> list[Counters]:
        return [_unpack(part, Counters) for part in (await self._ask(COUNTERS, activity)).parts]

    async def stats(self) -> list[StatsPart]:
        return [_unpack(part, StatsPart) for part in (await self._ask("stats")).parts]

    async def health(self) -> tuple[list[HealthPart], ServerHealth]:
        answers = await self._ask("health")
        return [_unpack(part, HealthPart) for part in answers.parts], answers.server

    async def page(self, question: PageQuestion) -> list[PagePart]:
        return [_unpack(part, PagePart) for part in (await self._ask("page", question)).parts]

    async def reload(self, reason: str) -> ReloadReport:
        try:
            return await self.link.call(RELOAD, reason)
        except StoreFault as fault:
            raise _gone() from fault

    async def _ask(self, question: str, argument: object = None) -> Answers:
        try:
            return await self.link.call(ASK, question, packed(argument))
        except StoreFault as fault:
            raise _gone() from fault

    async def _send_counters(self, admin: Callable[[], Admin]) -> None:
        while not self.link.closed:
            took_s = await self.send_counters(admin())
            await asyncio.sleep(max(_SEND_EVERY_S, took_s / _MOST_SHARE))


def _nothing() -> None:
    pass


def _gone() -> ProxyError:
    return ProxyError("The parent process is gone; this server is stopping", status=503, code="stopping")


async def _answer(admin: Admin, question: str, argument: bytes) -> object:
    match question:
        case "counters":
            return await admin.counters(activity=_unpack(argument, bool))
        case "stats":
            return await admin.stats()
        case "health":
            return admin.health()
        case "page":
            return await admin.page(_unpack(argument, PageQuestion))
        case _:
            raise StoreFault(f"no worker can answer {question!r}")


def _unpack(data: bytes, type_: type[T]) -> T:
    decoded: T = msgspec.msgpack.decode(data, type=type_)
    return decoded
