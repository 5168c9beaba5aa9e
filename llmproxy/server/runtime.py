"""What is built from one configuration, and how it is started and closed: component by component, whatever they do.

The components may be a user's: what they raise names their entry in the configuration and the line of their file, and
none keeps the others from being closed. Begin reading at `Runtime.start`.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmproxy.access.admission import Admission
from llmproxy.errors import ProxyError
from llmproxy.middleware.base import Middleware
from llmproxy.pipeline import Pipeline
from llmproxy.registry import RegistryError
from llmproxy.server.pages.admin import Admin
from llmproxy.server.request_body import Limits
from llmproxy.stores.open_stores import OpenStore
from llmproxy.user_code import is_cancellation, is_user_defined, line_of

log = logging.getLogger(__name__)

CLOSING_S = 5.0  # what closing may take where nobody says how long
_SLOW_START_S = 10.0


class Startable(Protocol):
    """A part that lives as long as its runtime."""

    async def start(self) -> None:
        """Start what it owns. Called once, before traffic."""

    async def close(self) -> None:
        """Close what it owns. Called once, after the last exchange."""


class Uses:
    """Counts the runtimes that use a part: the first one starts it, the last one closes it."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Component:
    """A part that is started and closed. `who` names it, `place` is its entry: `llmproxy.yaml:7:5: middlewares[0]`.

    `made_from` is all that decides what the part is; a later configuration with the same goes on with it, see
    `reuse.py`. None is for a part that each configuration makes anew. `stores` are those that the part has opened.
    """

    part: Startable
    who: str
    place: str = ""
    made_from: object = None
    stores: Mapping[str, OpenStore] = field(default_factory=dict)
    uses: Uses = field(default_factory=Uses)


def start_error(who: str, place: str, what: str, error: BaseException, component: type) -> RegistryError:
    """Return the error that says in one line that a component failed at the start: where, why, in which line of a
    user's file. The traceback is logged at debug level."""
    log.debug("%s %s", who, what, exc_info=error)
    reason = error.message if isinstance(error, ProxyError) else traceback.format_exception_only(error)[-1].strip()
    line = line_of(error, component) if is_user_defined(component) else ""
    return RegistryError(f"{place}{place and ': '}{who} {what}: {reason}{line and f' ({line})'}")


class Runtime:
    """Everything built from one configuration. Immutable but for the count of exchanges that use it.

    `late` names what did not close in its time.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        admin: Admin,
        limits: Limits,
        admission: Admission,
        components: Sequence[Component],
        middlewares: Sequence[tuple[str, Middleware]],
    ) -> None:
        self.pipeline = pipeline
        self.admin = admin
        self.limits = limits
        self.admission = admission
        self.components = components
        self.middlewares = middlewares
        self.late: list[str] = []
        self.closing = ""
        self._started: list[Component] = []
        self._running = 0
        self._retired = False
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """Count one more exchange."""
        self._running += 1

    def leave(self) -> None:
        """Count one exchange less."""
        self._running -= 1
        if self._retired and not self._running:
            self._idle.set()

    async def start(self) -> None:
        """Start every component, in order. When one fails, those before it are closed again.

        Raises RegistryError with the entry and the line of a component that fails.
        """
        try:
            for each in self.components:
                await _start(each)
                self._started.append(each)
        except BaseException:
            await self._close_components(_countdown(CLOSING_S))
            raise

    async def retire(self, remaining_s: Callable[[], float] | None = None) -> None:
        """Wait for the last exchange, then close every component; called when no new exchange comes here.

        `remaining_s` returns how many seconds are left for that; without it there is no limit.
        """
        self._retired = True
        if self._running:
            self._idle.clear()
            limit_s = None if remaining_s is None else remaining_s() / 2
            waiting = asyncio.get_running_loop().create_task(self._idle.wait())
            await asyncio.wait((waiting,), timeout=limit_s)
            waiting.cancel()
        await self._close_components(remaining_s)

    async def _close_components(self, remaining_s: Callable[[], float] | None) -> None:
        """Close every component, last first, whatever errors the others raise.

        One that takes more than half of the time that is left is not waited for.
        """
        while self._started:
            each = self._started.pop()
            self.closing = each.who
            closing = asyncio.get_running_loop().create_task(_close(each))
            await asyncio.wait((closing,), timeout=None if remaining_s is None else remaining_s() / 2)
            if not closing.done():
                log.error("%s does not close; it is not waited for", each.who)
                self.late.append(each.who)
        self.closing = ""


async def _start(component: Component) -> None:
    """Start one component, unless another runtime has; say so when that takes long."""
    component.uses.count += 1
    if component.uses.count > 1:
        return
    loop = asyncio.get_running_loop()
    slow = loop.call_later(_SLOW_START_S, lambda: log.warning("%s is still starting", component.who))
    try:
        await component.part.start()
    except BaseException as error:
        component.uses.count -= 1
        if is_cancellation(error):
            raise
        raise start_error(component.who, component.place, "cannot start", error, type(component.part)) from error
    finally:
        slow.cancel()


async def _close(component: Component) -> None:
    """Close one component, unless another runtime uses it."""
    component.uses.count -= 1
    if component.uses.count:
        return
    try:
        await component.part.close()
    except BaseException as error:
        if is_cancellation(error):
            raise
        log.error("%s cannot be closed", component.who, exc_info=error)


def _countdown(seconds: float) -> Callable[[], float]:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    return lambda: max(end_s - loop.time(), 0.1)
