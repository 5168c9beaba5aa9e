"""Sessions in a Redis: the facet `SessionStore`. What is done with them is in `redis_scripts.py`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from llmproxy.stores import redis_scripts as scripts
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.redis_link import LONGEST_S, Argument, RedisLink, Script
from llmproxy.stores.sessions import (
    RecentSession,
    Session,
    SessionCounts,
    SessionOutcome,
    SessionStore,
    Visit,
    VisitResult,
)

log = logging.getLogger(__name__)

_MOST_OUTCOMES = 4096
_BATCH = 64
_SETTLE_S = 2.0
_CLOSE_S = 2.0


class RedisSessions(SessionStore):
    """Sessions below `namespace`. Outcomes are sent by a task, several at a time."""

    def __init__(
        self,
        link: RedisLink,
        namespace: str,
        max_sessions: int,
        ttl_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._base = f"{{{namespace}:sessions}}"
        self._max_sessions = max_sessions
        self._ttl_s = min(ttl_s, LONGEST_S)
        self._clock = clock
        self._expired = 0
        self._evicted = 0
        self._outcomes: asyncio.Queue[SessionOutcome | None] = asyncio.Queue(_MOST_OUTCOMES)
        self._sender: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._sender = asyncio.get_running_loop().create_task(self._send(), name="settle sessions")

    async def close(self) -> None:
        if self._sender is not None:
            with contextlib.suppress(asyncio.QueueFull):  # then it never comes to the end in time
                self._outcomes.put_nowait(None)
            done, _ = await asyncio.wait([self._sender], timeout=_CLOSE_S)
            if not done:
                log.warning("%d outcomes of sessions were not sent to %s", self._outcomes.qsize(), self._link.address)
                self._sender.cancel()
                await asyncio.wait([self._sender])

    async def touch(self, visit: Visit) -> VisitResult | None:
        session = "" if visit.session is None else f"={visit.session}"
        about = (self._max_sessions, visit.tenant, visit.client, session, len(visit.keys))
        match await self._run(scripts.TOUCH, visit.now_s, *about, *visit.keys, *visit.learn):
            case [(bytes() | None) as name, int(place), int(created), int(expired), int(evicted)]:
                self._expired += expired
                self._evicted += evicted
                if name is None:
                    return None
                return VisitResult(session=_text(name), place=place if place >= 0 else None, created=bool(created))
            case _:
                raise _unexpected()

    async def recent(self, tenant: str) -> Sequence[RecentSession]:
        match await self._run(scripts.RECENT_OF, self._clock(), tenant):
            case list() as answer if len(answer) % 2 == 0 and all(isinstance(each, bytes) for each in answer):
                pairs = zip(answer[::2], answer[1::2], strict=True)
                return [RecentSession(session=_text(name), sketch=sketch) for name, sketch in pairs]
            case _:
                raise _unexpected()

    def settle(self, outcome: SessionOutcome) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._outcomes.put_nowait(outcome)

    async def _send(self) -> None:
        while (first := await self._outcomes.get()) is not None:
            batch, last = [first], False
            while len(batch) < _BATCH and not self._outcomes.empty() and not last:
                following = self._outcomes.get_nowait()
                last = following is None
                batch += [following] if following is not None else []
            with contextlib.suppress(StoreFault, TimeoutError):
                async with asyncio.timeout(_SETTLE_S):
                    await self._run(scripts.SETTLE, self._clock(), *(each for one in batch for each in _arguments(one)))
            if last:
                return

    async def session(self, name: str) -> Session | None:
        found = await self._run(scripts.ONE, self._clock(), name)
        return _sessions(found)[0] if found else None

    async def sessions(self, limit: int) -> Sequence[Session]:
        return _sessions(await self._run(scripts.LAST_USED, self._clock(), limit))

    async def counts(self) -> SessionCounts:
        match await self._run(scripts.ACTIVE, self._clock()):
            case int(active):
                return SessionCounts(active=active, expired=self._expired, evicted=self._evicted)
            case _:
                raise _unexpected()

    async def _run(self, script: Script, now_s: float, *arguments: Argument) -> object:
        answer: object = await self._link.run(script, self._base, repr(now_s), repr(self._ttl_s), *arguments)
        return answer


def _arguments(outcome: SessionOutcome) -> tuple[Argument, ...]:
    return (
        outcome.session,
        outcome.tenant,
        int(outcome.error),
        outcome.model or "",
        outcome.input_tokens,
        outcome.output_tokens,
        outcome.cached_tokens,
        f"{outcome.cost_usd:.12f}",
        int(outcome.cost_unknown),
        outcome.sketch,
        len(outcome.learn),
        *outcome.learn,
    )


def _sessions(answer: object) -> list[Session]:
    if not isinstance(answer, list):
        raise _unexpected()
    return [_session(each) for each in answer]


def _session(row: Any) -> Session:
    try:
        name, seen, client, started, requests, errors, came_in, went_out, models, cost, unpriced, cached = row
        return Session(
            id=_text(name),
            client=_text(client),
            started_s=float(started),
            seen_s=float(seen),
            requests=int(requests),
            errors=int(errors),
            input_tokens=int(came_in),
            output_tokens=int(went_out),
            cached_tokens=int(cached),
            cost_usd=float(cost),
            cost_unknown=int(unpriced),
            models=tuple(each for each in _text(models).split("\0") if each),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise _unexpected() from error


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _unexpected() -> StoreFault:
    return StoreFault("its answer to a script cannot be understood")
