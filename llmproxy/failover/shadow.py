"""Shadow calls: a copy of a request goes to another target as well, and its answer is only recorded.

Nobody waits for them: so many are under way at most, further ones are left out and counted, and those that are under
way at the end are cancelled. Begin reading at `ShadowCalls.begin`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable

from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.dialects.summary import Summary
from llmproxy.errors import Overloaded, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.failover.attempt import Attempts
from llmproxy.route import Route
from llmproxy.routing.sealed_history import share_history
from llmproxy.target import Target

MOST_RUNNING = 32
_LONGEST_S = 600.0
_KEPT_BYTES = 1024 * 1024


class ShadowCalls:
    """Makes shadow calls.

    `record` gets each one that ended, with the beginning of its answer's body. `counts` counts them by provider, model
    and outcome.
    """

    def __init__(
        self,
        attempts: Attempts,
        record: Callable[[Exchange, bytes], None],
        counts: Counter[tuple[str, str, str]],
    ) -> None:
        self._attempts = attempts
        self._record = record
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = counts

    async def start(self) -> None:
        """Start nothing: calls begin with requests."""

    async def close(self) -> None:
        """Cancel the calls that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, exchange: Exchange, route: Route, target: Target) -> None:
        """Send a copy of the request to `target`, unless too many are under way. Returns at once."""
        body = exchange.body
        if len(self._tasks) >= MOST_RUNNING or not isinstance(body, Body):
            self._count(target, "left_out")
            return
        copy = exchange.view()
        copy.id, copy.body, copy.headers = secrets.token_hex(12), body.copy(), exchange.headers.copy()
        copy.calls, copy.call, copy.notes, copy.muted, copy.summary = [], None, {}, set(), Summary()
        share_history(exchange, copy)
        copy.held_bytes, copy.started_s, copy.began_s = 0, time.monotonic(), time.time()
        copy.route = Route(name=f"{route.name} (shadow)", targets=(target,))
        try:
            copy.hold(len(body.raw))
        except Overloaded:
            self._count(target, "left_out")
            return
        task = asyncio.get_running_loop().create_task(self._call(copy, copy.route, target))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, copy: Exchange, route: Route, target: Target) -> None:
        answer, kept = None, b""
        try:
            async with asyncio.timeout(_LONGEST_S):
                answer = await self._attempts.make(copy, route, target)
                copy.status = answer.status
                kept = await _read(copy, answer)
            copy.outcome = "complete"
        except (ProxyError, TimeoutError) as error:
            copy.error = error if isinstance(error, ProxyError) else ProxyError("It took too long", status=504)
            copy.status, copy.outcome = copy.error.status, "error"
        finally:
            if answer is not None:
                answer.close()
            for call in copy.calls:
                call.end_running()
            copy.ended_s = time.monotonic()
            copy.release_all()
        copy.answer = answer
        self._count(target, "success" if (copy.status or 500) < 400 else "error")
        self._record(copy, kept)

    def _count(self, target: Target, outcome: str) -> None:
        self._counts[target.provider.name, target.model or "", outcome] += 1


async def _read(exchange: Exchange, answer: Answer) -> bytes:
    """Read the answer to its end, put what it says into the exchange, and return its beginning."""
    dialect = None if exchange.endpoint is None else exchange.endpoint.dialect
    plain = "Content-Encoding" not in answer.headers
    watch = dialect.readers.watch() if dialect is not None and answer.framing is not None and plain else None
    kept, data = bytearray(answer.body), answer.body
    while True:
        exchange.sent_bytes += len(data)
        if watch is not None and data:
            watch.feed(data)
        if answer.stream is None or not (data := await answer.stream.read()):
            break
        kept += data[: max(_KEPT_BYTES - len(kept), 0)]
    if answer.summary is not None:
        exchange.summary = answer.summary
    elif watch is not None:
        exchange.summary = watch.close()
    elif dialect is not None and plain and exchange.sent_bytes == len(kept):
        exchange.summary = dialect.readers.summarize(bytes(kept))
    return bytes(kept)
