"""One process of a worker, as its parent sees it: from its start over its readiness to its end.

A thread waits for its end: a child watcher of an event loop would need the main thread, and its signals. Begin reading
at `WorkerProcess.start`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from llmproxy.server.peers import ReloadReport
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.link import Link
from llmproxy.stores.store_server import StoreServer
from llmproxy.workers.gathering import Answering
from llmproxy.workers.handover import Channel
from llmproxy.workers.operations import (
    ASK,
    COUNTED,
    CUT,
    LEAVING,
    PING,
    READY,
    RELOAD,
    RELOAD_HERE,
    START_FAILED,
    STOP,
    Answers,
    Failed,
    Ready,
)
from llmproxy.workers.order import Order, send_order, start_process

log = logging.getLogger(__name__)

_RELOAD_S = 60.0
_KILL_S = 5.0

Ask = Callable[[Answering, str, bytes], Coroutine[Any, Any, Answers]]
Reload = Callable[[str], Coroutine[Any, Any, ReloadReport]]


class WorkerProcess:
    """A worker that was started. `ready` is set once it serves, `leaving` when it stops by itself; `ended` gets the
    exit code, negative for a signal. `failed` is why it could not start, where it said so."""

    def __init__(self, number: int, stores: StoreServer) -> None:
        self.answering = Answering(number, Link(f"worker {number}"))
        self.started_s = time.monotonic()
        self.ready = asyncio.Event()
        self.leaving = asyncio.Event()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.failed: Failed | None = None
        self.traces: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.channel: Channel
        stores.attach(self.link)

    @property
    def link(self) -> Link:
        """Return the connection to it."""
        return self.answering.link

    @property
    def pid(self) -> int | None:
        """Return its process id; None before it is started."""
        return None if self._process is None else self._process.pid

    @property
    def serving(self) -> bool:
        """Return whether it serves requests."""
        return self.ready.is_set() and not self.ended.done()

    async def start(self, order: Order, ask: Ask, reload: Reload) -> None:
        """Start the process. `ask` and `reload` do what it asks of its parent. Raises OSError, ProxyError."""
        self.link.serve(READY, self._note_ready)
        self.link.serve(START_FAILED, self._note_failed)
        self.link.serve(LEAVING, self.leaving.set)
        self.link.serve(COUNTED, self._note_counters)
        self.link.serve(ASK, lambda question, argument: ask(self.answering, question, argument))
        self.link.serve(RELOAD, reload)
        ours, theirs = socket.socketpair()
        giving, taking = socket.socketpair()
        with contextlib.ExitStack() as on_error:
            on_error.callback(ours.close)
            on_error.callback(giving.close)
            with theirs, taking:
                self._process = await asyncio.to_thread(start_process, theirs, taking)
            waiting = (asyncio.get_running_loop(), self._process)
            threading.Thread(target=self._wait, args=waiting, name="wait for a worker", daemon=True).start()
            await send_order(ours, order)
            on_error.pop_all()
        self.channel = Channel(giving)
        await self.link.connect(ours)

    async def reload(self, reason: str) -> ReloadReport:
        """Let it reload its configuration. Raises StoreFault when it is gone or does not answer."""
        try:
            async with asyncio.timeout(_RELOAD_S):
                return await self.link.call(RELOAD_HERE, reason)
        except TimeoutError:
            raise StoreFault(f"worker {self.answering.number} does not answer") from None

    async def kill_if_silent(self, silence_s: float) -> None:
        """End it when its event loop does not answer for so long."""
        try:
            async with asyncio.timeout(silence_s):
                await self.link.call(PING)
        except StoreFault:
            return  # it has ended
        except TimeoutError:
            log.error("worker %d has not answered for %g s, and is killed", self.answering.number, silence_s)
            self.kill()

    def stop(self) -> None:
        """Let it finish its exchanges and end."""
        if self.link.closed:
            self.kill()
        self._notify(STOP)

    def cut(self) -> None:
        """Let it end its exchanges at once."""
        self._notify(CUT)

    def kill(self) -> None:
        """End it now, whatever it does."""
        if self._process is not None and not self.ended.done():
            with contextlib.suppress(OSError):
                self._process.kill()

    async def close(self) -> None:
        """Close the connection to a process that has ended, or that ends now."""
        self.kill()
        if self._process is not None:
            await asyncio.wait((self.ended,), timeout=_KILL_S)
        await self.link.close()

    def cannot_start(self, reason: str) -> None:
        """Take note that there is no process."""
        self.failed = Failed(message=reason)
        self._end(1)

    @property
    def killed(self) -> bool:
        """Return whether a signal ended it."""
        return self.ended.done() and self.ended.result() < 0

    def describe_end(self) -> str:
        """Say how it ended."""
        code = self.ended.result()
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"

    def _notify(self, operation: Any) -> None:
        with contextlib.suppress(StoreFault):  # it is gone
            self.link.notify(operation)

    def _note_ready(self, ready: Ready) -> None:
        self.traces = ready.traces
        self.ready.set()

    def _note_failed(self, failed: Failed) -> None:
        self.failed = failed

    def _note_counters(self, counters: bytes) -> None:
        self.answering.counters = counters

    def _wait(self, loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._end, code)

    def _end(self, code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(code)
