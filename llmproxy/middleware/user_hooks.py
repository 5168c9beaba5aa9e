"""The hooks of users' middlewares as `hooks.py` calls them: results checked, failures named, slow ones reported.

Each function wraps one bound hook, once, when the hooks are collected. Hooks of our own middlewares are not wrapped.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable

from multidict import CIMultiDict

from llmproxy.answer import Answer
from llmproxy.body import Body, StreamedBody
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.fault_log import FaultLog
from llmproxy.middleware.base import Proceed
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
        began_s = time.monotonic()
        try:
            result = await self._hook(exchange, *others)
        except ProxyError:
            raise
        except BaseException as error:
            raise log_failure(self._who, exchange.id, error) from error
        if (took_s := time.monotonic() - began_s) >= SLOW_S:
            self._slow.failed(logging.WARNING, "slow: %s took %.1f s for exchange %s", self._who, took_s, exchange.id)
        return result


def wrap_request(name: str, hook: RequestHook) -> RequestHook:
    """Wrap `on_request` of the middleware `name`."""
    who = f"on_request of middleware {name!r}"
    timed = _TimedHook(who, hook)

    async def on_request(exchange: Exchange) -> Answer | None:
        answer = await timed.call(exchange)
        if fault := _exchange_fault(exchange):
            raise log_failure(who, exchange.id, fault)
        return None if answer is None else await begin_answer(answer, who, exchange.id)

    return on_request


def _exchange_fault(exchange: Exchange) -> str:
    """Return what is wrong with those parts of an exchange that hooks may change, "" for nothing."""
    if not (exchange.model is None or isinstance(exchange.model, str)):
        return f"set exchange.model to a {type(exchange.model).__name__}, not a string"
    if not isinstance(exchange.headers, CIMultiDict):
        return f"set exchange.headers to a {type(exchange.headers).__name__}; change the headers in place"
    if not (exchange.body is None or isinstance(exchange.body, (Body, StreamedBody))):
        return f"set exchange.body to a {type(exchange.body).__name__}; use exchange.held.replace(), or a Body"
    return ""


def wrap_around(name: str, hook: AroundHook) -> AroundHook:
    """Wrap `around` of the middleware `name`."""
    who = f"around of middleware {name!r}"

    async def around(exchange: Exchange, proceed: Proceed) -> Answer:
        answers: list[Answer] = []
        errors: list[BaseException] = []

        async def call(other: Exchange | None = None) -> Answer:
            try:
                answer = await proceed(other)
            except BaseException as error:
                errors.append(error)
                raise
            answers.append(answer)
            return answer

        try:
            return await begin_answer(await hook(exchange, call), who, exchange.id)
        except BaseException as error:
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
