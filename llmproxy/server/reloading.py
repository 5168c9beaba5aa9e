"""Reload the configuration while exchanges run, one time after the other, and remember for pages and logs how it went.

What a configuration is, and how another one takes its place, is not known here: `Reloader.apply` does it. Begin reading
at `Reloader.reload`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from llmproxy.errors import ProxyError
from llmproxy.user_code import is_cancellation

log = logging.getLogger(__name__)


class ReplacedRuntime(Protocol):
    """A runtime that new exchanges no longer use. `late` and `closing` name what does not close, what closes now."""

    late: list[str]
    closing: str

    async def retire(self) -> None:
        """Wait for its last exchange, then close it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """The result of a reload. `changes` list the differences, `ignored` those that need a restart, `warnings` what is
    new to warn of, all in words. `release` is called when the replaced runtime is closed.
    """

    changes: Sequence[str]
    ignored: Sequence[str]
    warnings: Sequence[str] = ()
    replaced: ReplacedRuntime
    release: Callable[[], None]


class ReloadFailed(ProxyError):
    """The configuration cannot be used; the one before stays in effect: 422."""

    STATUS: ClassVar[int] = 422

    def __init__(self, message: str) -> None:
        super().__init__(message, status=self.STATUS, code="invalid_configuration")


class Reloader:
    """Reloads. `apply` is set by who serves; it raises ReloadFailed. `applied` is awaited after each reload.

    `fault` says why the last one failed, "" if it did not, and `ignored` what waits for a restart. `retiring` are
    runtimes whose last exchanges are still running. One that is `quiet` leaves it to others to log what happened.
    """

    def __init__(self) -> None:
        self.quiet = False
        self.apply: Callable[[], Awaitable[Reloaded]] | None = None
        self.applied: Callable[[], Awaitable[None]] | None = None
        self.fault = ""
        self.ignored: Sequence[str] = ()
        self.count = 0
        self.retiring: dict[asyncio.Task[None], ReplacedRuntime] = {}
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def faults(self) -> list[str]:
        """Return a sentence for pages where the last reload failed."""
        return [f"the changed configuration is not used: {self.fault}"] if self.fault else []

    def describe(self) -> dict[str, object]:
        """Return what `/health` shows."""
        return {"count": self.count, "fault": self.fault or None, "needs_restart": self.ignored}

    async def reload(self, reason: str) -> Reloaded:
        """Read the configuration again, and use it for new exchanges. `reason` says in the log why.

        Raises ProxyError, and then nothing has changed.
        """
        async with self._lock:
            if self.apply is None:
                raise ProxyError("The server is starting or stopping", status=503, code="stopping")
            try:
                done = await self.apply()
            except ReloadFailed as error:
                self.fault = error.message
                log.log(
                    self._level(logging.ERROR),
                    "the configuration is not reloaded (%s), the one before stays: %s",
                    reason,
                    error.message,
                )
                raise
            self.fault, self.ignored = "", done.ignored
            self.count += 1
            self._report(reason, done)
            self._retire(done)
            if self.applied is not None:
                await self.applied()
            return done

    def begin(self, reason: str) -> None:
        """Reload in a task of its own. Errors are in the log."""

        async def run() -> None:
            try:
                await self.reload(reason)
            except ProxyError as error:
                if not isinstance(error, ReloadFailed):
                    log.error("the configuration is not reloaded (%s): %s", reason, error.message)
            except BaseException as error:
                if is_cancellation(error):
                    raise
                log.error("the configuration is not reloaded (%s)", reason, exc_info=error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _retire(self, done: Reloaded) -> None:
        async def run() -> None:
            await done.replaced.retire()
            done.release()

        task = asyncio.get_running_loop().create_task(run())
        self.retiring[task] = done.replaced
        task.add_done_callback(lambda over: self.retiring.pop(over, None))

    def _report(self, reason: str, done: Reloaded) -> None:
        for each in done.warnings:
            log.log(self._level(logging.WARNING), "%s", each)
        changes = "; ".join(done.changes) or "nothing has changed"
        log.log(self._level(logging.INFO), "configuration reloaded (%s): %s", reason, changes)
        for each in done.ignored:
            log.log(self._level(logging.WARNING), "%s", each)

    def _level(self, level: int) -> int:
        return logging.DEBUG if self.quiet else level

    async def stop(self) -> None:
        """Reload no more; one that is under way is given up."""
        self.apply = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self, timeout_s: float) -> list[str]:
        """Wait for the runtimes that were replaced, once no exchange runs. Return what did not close in time."""
        if self.retiring:
            await asyncio.wait(self.retiring, timeout=timeout_s)
        late = [name for runtime in self.retiring.values() for name in (*runtime.late, runtime.closing) if name]
        for task in self.retiring:
            task.cancel()
        return late
