"""Calls the hooks of the configured middlewares, collected once into tuples of bound methods.

Only overridden hooks are collected, so that what nobody overrides costs nothing. Requests go down the list, answers
come back up. Hooks of users are collected as `user_hooks.py` checks them. `base.py` describes what the hooks may do.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from llmproxy.answer import Answer
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware, Proceed
from llmproxy.middleware.user_hooks import (
    AroundHook,
    RequestHook,
    ResponseHook,
    report_result,
    wrap_around,
    wrap_chunk,
    wrap_end,
    wrap_request,
    wrap_response,
)
from llmproxy.user_code import is_user_defined

log = logging.getLogger(__name__)

Send = Callable[[Exchange], Awaitable[Answer]]
ChunkHook = Callable[[Exchange, bytes], object]
EndHook = Callable[[Exchange], object]


class Reporter(Protocol):
    """Tells somebody outside of every exchange, those with our own pages and with malformed requests too."""

    watches_chunks: bool

    def begin(self, exchange: Exchange) -> None:
        """See an exchange before anything is known of it. Must not fail."""

    def chunk(self, exchange: Exchange, data: bytes) -> None:
        """See what was just sent, where it `watches_chunks`; not of our own pages."""

    def end(self, exchange: Exchange) -> None:
        """See an exchange that has ended, once. Hands I/O to a thread."""


class Hooks:
    """The hooks of a list of named middlewares, in the order in which they are called; then the `reporters`."""

    def __init__(self, middlewares: Sequence[tuple[str, Middleware]], reporters: Sequence[Reporter] = ()) -> None:
        self._reporters = tuple(reporters)

        def overridden(hook: str) -> list[tuple[str, Middleware]]:
            base = getattr(Middleware, hook)
            return [(name, each) for name, each in middlewares if getattr(type(each), hook) is not base]

        self.on_request: tuple[RequestHook, ...] = tuple(
            wrap_request(name, each.on_request) if is_user_defined(type(each)) else each.on_request
            for name, each in overridden("on_request")
        )
        self.around: tuple[AroundHook, ...] = tuple(
            wrap_around(name, each.around) if is_user_defined(type(each)) else each.around
            for name, each in overridden("around")
        )
        self.on_response: tuple[ResponseHook, ...] = tuple(
            wrap_response(name, each.on_response) if is_user_defined(type(each)) else each.on_response
            for name, each in reversed(overridden("on_response"))
        )
        self.on_chunk: tuple[tuple[str, ChunkHook], ...] = tuple(
            (name, wrap_chunk(name, each.on_chunk) if is_user_defined(type(each)) else each.on_chunk)
            for name, each in reversed(overridden("on_chunk"))
        )
        self.on_chunk += tuple((type(each).__name__, each.chunk) for each in reporters if each.watches_chunks)
        self._recorders = tuple((name, each) for name, each in middlewares if each.records_shadows)
        self.on_end: tuple[tuple[str, EndHook], ...] = tuple(
            (name, wrap_end(name, each.on_end) if is_user_defined(type(each)) else each.on_end)
            for name, each in reversed(overridden("on_end"))
        )

    async def request(self, exchange: Exchange) -> Answer | None:
        """Return the first answer that a middleware makes itself; None when none does."""
        for hook in self.on_request:
            answer = await hook(exchange)
            if answer is not None:
                return answer
        return None

    def call(self, exchange: Exchange, send: Send) -> Awaitable[Answer]:
        """Make the upstream call inside the `around` hooks, the first of the list outermost."""
        proceed = _sending(exchange, send)
        for hook in reversed(self.around):
            proceed = _wrap(hook, exchange, proceed)
        return proceed()

    async def response(self, exchange: Exchange, answer: Answer) -> None:
        """Show an answer to everybody before its head goes out."""
        for hook in self.on_response:
            await hook(exchange, answer)

    def chunk(self, exchange: Exchange, data: bytes) -> None:
        """Show what was just sent. A hook that fails is logged and sees no more chunks of this exchange."""
        for name, hook in self.on_chunk:
            if name not in exchange.muted:
                try:
                    result = hook(exchange, data)
                except BaseException as error:
                    exchange.muted.add(name)
                    log.error(
                        "on_chunk of middleware %r failed with %s; it is muted for exchange %s",
                        name,
                        type(error).__name__,
                        exchange.id,
                        exc_info=error,
                    )
                else:
                    if result is not None:
                        report_result("on_chunk", name, exchange, result)

    def end(self, exchange: Exchange) -> None:
        """Call `on_end` of all of them, whatever the others do."""
        for name, hook in self.on_end:
            try:
                result = hook(exchange)
                if result is not None:
                    report_result("on_end", name, exchange, result)
            except BaseException as error:
                log.error(
                    "on_end of middleware %r failed with %s for exchange %s",
                    name,
                    type(error).__name__,
                    exchange.id,
                    exc_info=error,
                )

    def begin_report(self, exchange: Exchange) -> None:
        """Show an exchange that begins to those who report all of them."""
        for each in self._reporters:
            each.begin(exchange)

    def report(self, exchange: Exchange) -> None:
        """Show an exchange that has ended to those who report all of them."""
        for each in self._reporters:
            try:
                each.end(exchange)
            except Exception as error:
                log.error("exchange %s cannot be reported", exchange.id, exc_info=error)

    def record_shadow(self, exchange: Exchange, body: bytes) -> None:
        """Show a shadow call that has ended, and the beginning of its answer, to those that record them."""
        for name, each in self._recorders:
            try:
                if body:
                    each.on_chunk(exchange, body)
                each.on_end(exchange)
            except BaseException as error:
                log.error("middleware %r cannot record a shadow call: %s", name, type(error).__name__, exc_info=error)


def _sending(exchange: Exchange, send: Send) -> Proceed:
    def call(other: Exchange | None = None) -> Awaitable[Answer]:
        return send(other or exchange)

    return call


def _wrap(hook: AroundHook, exchange: Exchange, proceed: Proceed) -> Proceed:
    def call(other: Exchange | None = None) -> Awaitable[Answer]:
        return hook(other or exchange, proceed)

    return call
