"""The hooks of users' middlewares as `hooks.py` calls them: results checked, failures named, slow ones reported.

Each function wraps one bound hook, once, when the hooks are collected. Hooks of our own middlewares are not wrapped.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from operator import attrgetter
from types import NoneType

from multidict import CIMultiDict

from llmproxy.answer import Answer
from llmproxy.body import Body, StreamedBody
from llmproxy.call import Call
from llmproxy.client_request import PRINTABLE, Client
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.summary import Summary
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.fault_log import FaultLog
from llmproxy.middleware.base import Proceed
from llmproxy.route import Route
from llmproxy.user_code import begin_answer, discard, log_failure

log = logging.getLogger(__name__)

RequestHook = Callable[[Exchange], Awaitable[Answer | None]]
AroundHook = Callable[[Exchange, Proceed], Awaitable[Answer]]
ResponseHook = Callable[[Exchange, Answer], Awaitable[None]]

SLOW_S = 2.0


class _TimedHook:
    """Calls one hook: its failures are named, and that it is slow is reported once a minute. What blocks the loop is
    found by `server/loop_watch.py`."""

    __slots__ = ("_hook", "_slow", "_who")

    def __init__(self, who: str, hook: Callable[..., Awaitable[object]]) -> None:
        self._who = who
        self._hook = hook
        self._slow = FaultLog(log, lambda: time.monotonic())

    async def call(self, exchange: Exchange, *others: object) -> object:
        """Return what the hook returns. Raises ProxyError."""
        began_s, before = time.monotonic(), _get_parts(exchange)
        try:
            result = await self._hook(exchange, *others)
        except BaseException as error:
            undo_faults(exchange, before)
            if isinstance(error, ProxyError):
                raise
            raise log_failure(self._who, exchange.id, error) from error
        if fault := undo_faults(exchange, before):
            raise log_failure(self._who, exchange.id, fault)
        if (took_s := time.monotonic() - began_s) >= SLOW_S:
            self._slow.failed(logging.WARNING, "slow: %s took %.1f s for exchange %s", self._who, took_s, exchange.id)
        return result


def wrap_request(name: str, hook: RequestHook) -> RequestHook:
    """Wrap `on_request` of the middleware `name`."""
    who = f"on_request of middleware {name!r}"
    timed = _TimedHook(who, hook)

    async def on_request(exchange: Exchange) -> Answer | None:
        answer = await timed.call(exchange)
        return None if answer is None else await begin_answer(answer, who, exchange.id)

    return on_request


# What a hook may read; most of it nobody should set. Tuples of types as `isinstance` takes them.
_PARTS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "request_id", "method", "full_path", "path", "template", "outcome"), (str,)),
    **dict.fromkeys(("query", "model", "session", "cache"), (str, NoneType)),
    **dict.fromkeys(("started_s", "began_s"), (float,)),
    **dict.fromkeys(("first_token_s", "ended_s"), (float, NoneType)),
    **dict.fromkeys(("sent_bytes", "held_bytes"), (int,)),
    **dict.fromkeys(("stream", "own"), (bool,)),
    **{"client": (Client,), "headers": (CIMultiDict,), "body": (Body, StreamedBody, NoneType)},
    **{"endpoint": (Endpoint, NoneType), "route": (Route, NoneType), "call": (Call, NoneType), "calls": (list,)},
    **{"answer": (Answer, NoneType), "summary": (Summary,), "status": (int, NoneType)},
    **{"error": (ProxyError, NoneType), "muted": (set,), "notes": (dict,), "budget": (MemoryBudget, NoneType)},
}
_INSTEAD = {
    "headers": "; change the headers in place",
    "body": "; use exchange.held.replace(), or a Body",
    "id": "; it must not be changed",
    "request_id": "; it must be printable ASCII",
}
_get_parts = attrgetter(*_PARTS)


def undo_faults(exchange: Exchange, before: tuple[object, ...]) -> str:
    """Put back those parts of an exchange, `before` in the order of `_PARTS`, that a hook set to what they cannot be.
    Return what was wrong with the first of them, "" for nothing. Takes 2 µs.
    """
    fault = ""
    for (name, types), old, new in zip(_PARTS.items(), before, _get_parts(exchange), strict=True):
        if new is old:
            continue
        wrong = not isinstance(new, types) or name == "id"
        if wrong or (name == "request_id" and not PRINTABLE.issuperset(str(new))):
            kind = f"a {type(new).__name__}" if wrong and name != "id" else "another value"
            fault = fault or f"set exchange.{name} to {kind}{_INSTEAD.get(name, '')}"
            setattr(exchange, name, old)
    try:
        "".join(exchange.headers.values())  # 0.4 µs for 12 headers
    except TypeError:
        wrongs = {name: value for name, value in exchange.headers.items() if not isinstance(value, str)}
        for name in wrongs:
            exchange.headers.popall(name)
        name, value = wrongs.popitem()
        fault = fault or f"set the header {name!r:.60} of the request to a {type(value).__name__}, not a string"
    return fault


def wrap_around(name: str, hook: AroundHook) -> AroundHook:
    """Wrap `around` of the middleware `name`."""
    who = f"around of middleware {name!r}"

    async def around(exchange: Exchange, proceed: Proceed) -> Answer:
        answers: list[Answer] = []
        errors: list[BaseException] = []
        before = _get_parts(exchange)

        async def call(other: Exchange | None = None) -> Answer:
            try:
                answer = await proceed(other)
            except BaseException as error:
                errors.append(error)
                raise
            answers.append(answer)
            return answer

        try:
            made = await hook(exchange, call)
            if fault := undo_faults(exchange, before):
                discard(made)
                raise log_failure(who, exchange.id, fault)
            return await begin_answer(made, who, exchange.id)
        except BaseException as error:
            undo_faults(exchange, before)
            for each in answers:
                discard(each)
            if isinstance(error, ProxyError) or any(error is each for each in errors):
                raise  # what came from below is not the hook's fault
            raise log_failure(who, exchange.id, error) from error

    return around


def wrap_response(name: str, hook: ResponseHook) -> ResponseHook:
    """Wrap `on_response` of the middleware `name`."""
    who = f"on_response of middleware {name!r}"
    timed = _TimedHook(who, hook)

    async def on_response(exchange: Exchange, answer: Answer) -> None:
        result = await timed.call(exchange, answer)
        if result is not None and result is not answer:
            fault = f"returned a value of type {type(result).__name__}, not None; change the answer in place"
            raise log_failure(who, exchange.id, fault)
        await begin_answer(answer, who, exchange.id)

    return on_response


def wrap_chunk(name: str, hook: Callable[[Exchange, bytes], object]) -> Callable[[Exchange, bytes], object]:
    """Wrap `on_chunk` of the middleware `name`."""

    def on_chunk(exchange: Exchange, data: bytes) -> object:
        before = _get_parts(exchange)
        try:
            return hook(exchange, data)
        finally:
            _report_fault("on_chunk", name, exchange, before)

    return on_chunk


def wrap_end(name: str, hook: Callable[[Exchange], object]) -> Callable[[Exchange], object]:
    """Wrap `on_end` of the middleware `name`."""

    def on_end(exchange: Exchange) -> object:
        before = _get_parts(exchange)
        try:
            return hook(exchange)
        finally:
            _report_fault("on_end", name, exchange, before)

    return on_end


def _report_fault(hook: str, name: str, exchange: Exchange, before: tuple[object, ...]) -> None:
    """Log what a hook that only watches broke; it is put back, so that the exchange is counted and recorded."""
    if fault := undo_faults(exchange, before):
        log.error("exchange %s: %s of middleware %r %s", exchange.id, hook, name, fault)


def report_result(hook: str, name: str, exchange: Exchange, result: object) -> None:
    """Log, once for each exchange, that a hook which only watches returned something, which is ignored."""
    mark = f"{hook} of {name}"
    if inspect.iscoroutine(result):
        result.close()
        exchange.muted.add(name)
        fault = "returned a coroutine, which is never run: write `def`, not `async def`"
    elif mark in exchange.muted:
        return
    else:
        fault = f"returned a value of type {type(result).__name__}, which is ignored: it only watches"
    exchange.muted.add(mark)
    log.error("exchange %s: %s of middleware %r %s", exchange.id, hook, name, fault)
