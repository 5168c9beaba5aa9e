"""The pool under test: requests to a fake upstream, written in one line, and their answers read to the end.

Blocking steps of the fake (`take`, `wait_left`) go through `asyncio.to_thread`, so that the pool's own loop goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.body import Body, StreamedBody
from llmproxy.errors import ProxyError
from llmproxy.target import Origin, Timeouts, UpstreamRequest
from llmproxy.upstream.pool import Upstream as Pool
from tests.support.connection import Connection
from tests.support.provider import Call, HeldCall, Upstream
from tests.support.waiting import until_async

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ok(call: Call) -> None:
    """Script: a small answer in one write."""
    await call.send(OK[:-2] if call.request.method == "HEAD" else OK)


@contextlib.asynccontextmanager
async def pool() -> AsyncIterator[Pool]:
    """Yield a pool of connections in the running loop."""
    result = Pool()
    try:
        yield result
    finally:
        await result.close()


def origin_of(
    upstream: Upstream, *, first_byte_s: float | None = 10.0, idle_s: float | None = 10.0, total_s: float | None = None
) -> Origin:
    """Return where `upstream` listens, to be reached directly."""
    timeouts = Timeouts(connect_s=10.0, first_byte_s=first_byte_s, idle_s=idle_s, total_s=total_s)
    return Origin(scheme="http", host="127.0.0.1", port=upstream.port, timeouts=timeouts, proxy=None)


def ask(
    origin: Origin,
    method: str = "GET",
    target: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    body: Body | StreamedBody | None = None,
) -> UpstreamRequest:
    """Return a request to `origin`."""
    return UpstreamRequest(origin=origin, method=method, target=target, headers=Headers(headers), body=body)


async def rest(answer: Answer) -> bytes:
    """Return the whole body of `answer`. Raises BrokenStream when it is cut."""
    parts = [answer.body]
    while answer.stream is not None and (data := await answer.stream.read()):
        parts.append(data)
    return b"".join(parts)


async def fetch(made: Pool, request: UpstreamRequest) -> bytes:
    """Return the whole body of the answer to `request`."""
    return await rest(await made.open(request))


async def failure(made: Pool, request: UpstreamRequest) -> ProxyError:
    """Return why `request` gets no answer."""
    with pytest.raises(ProxyError) as caught:
        await made.open(request)
    return caught.value


async def take(upstream: Upstream) -> HeldCall:
    """Return the request that `upstream` holds, once it is there."""
    return await asyncio.to_thread(upstream.take)


async def left(connection: Connection) -> None:
    """Wait until the pool has closed `connection`."""
    await until_async(lambda: connection.peer_left_s is not None, f"connection {connection.number} to be closed")


async def begun(made: Pool, upstream: Upstream, origin: Origin, begin: bytes) -> tuple[Answer, HeldCall]:
    """Return an answer whose beginning is here, and the call, which the test goes on to answer."""
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(made.open(ask(origin)))
        held = await take(upstream)
        held.send(begin)
    return opening.result(), held
