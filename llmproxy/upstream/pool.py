"""The connection pool: send a request to an origin and return an Answer whose head is read and whose body is still to
come.

It uses aiohttp's pool at the level of its connector, which costs a third of a
ClientSession (DESIGN.md section 13). With `connection.py` and `server/edge.py` it touches aiohttp's less
public side: `TCPConnector.connect` and the messages of the response parser. It knows no dialects and no routes.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from asyncio import AbstractEventLoop
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientTimeout, ServerDisconnectedError, TCPConnector, encode_basic_auth
from aiohttp.client_exceptions import ClientHttpProxyError, SocketTimeoutError
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from llmproxy.answer import Answer
from llmproxy.body import StreamedBody
from llmproxy.errors import BrokenStream, UpstreamError
from llmproxy.system_errors import explain_fault
from llmproxy.target import Origin, UpstreamRequest
from llmproxy.upstream.connection import UpstreamConnection
from llmproxy.upstream.egress import outgoing_proxy, trust, trust_store
from llmproxy.upstream.heads import read_head, request_head
from llmproxy.upstream.upgraded import UpgradedConnection, check_upgrade
from llmproxy.wire.http import BODILESS_STATUSES, READ_BYTES
from llmproxy.wire.whole_body import take_whole

# Where a parser begins to quote an answer, which may repeat our key.
_QUOTE = re.compile(r"[:'\"\r\n]")
POOLED_S = 55.0  # most providers close idle connections after 60 s or later


class ResponseStream:
    """The rest of one answer: a ByteStream over a pooled connection."""

    __slots__ = ("_closed", "_connection", "_deadline_s", "_payload", "_pool", "_pump", "_upstream")

    def __init__(
        self,
        upstream: Upstream,
        pool: OriginPool,
        connection: Connection,
        payload: StreamReader,
        deadline_s: float | None,
        pump: asyncio.Task[None] | None,
    ) -> None:
        self._upstream = upstream
        self._pool = pool
        self._connection = connection
        self._closed = False
        self._payload = payload
        self._deadline_s = deadline_s
        self._pump = pump

    async def read(self) -> bytes:
        try:
            if self._deadline_s is None:
                data: bytes = await self._payload.readany()
            else:
                async with asyncio.timeout_at(self._deadline_s):
                    data = await self._payload.readany()
        except (TimeoutError, ClientError, HttpProcessingError, OSError) as error:
            if arrived := _arrived(self._payload):
                return arrived
            _cut(self._connection)
            raise self._broken(error) from error
        if not data:
            self.close()
        return data

    def _broken(self, error: Exception) -> BrokenStream:
        if isinstance(error, TimeoutError):
            return BrokenStream(
                "The provider sent nothing for too long in the middle of its answer (timeouts.idle)",
                status=504,
                code="timeout",
            )
        return BrokenStream("The provider ended the connection in the middle of its answer")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        uploading = self._pump is not None and not self._pump.done()
        if uploading and self._pump is not None:
            self._pump.cancel()
        if uploading or not self._payload.is_eof():
            _cut(self._connection)
        else:
            self._upstream.release(self._pool, self._connection)


def _arrived(payload: StreamReader) -> bytes:
    """Return what had arrived of a body before it broke off. aiohttp's own methods raise at once, and lose that."""
    data: bytes = payload._read_nowait(-1) if payload._buffer else b""
    return data


@dataclass(slots=True, kw_only=True)
class OriginPool:
    """The facts that all connections to one origin share, and the idle ones among them, newest last. Once it is
    `forgotten` none waits in it any more."""

    call: ClientRequest
    timeout: ClientTimeout
    address: str
    target_prefix: str
    proxy_authorization: str | None
    idle: list[Connection] = field(default_factory=list)
    forgotten: bool = False

    def forget(self) -> None:
        """Close the idle connections, and those that come back later."""
        self.forgotten = True
        while self.idle:
            _cut(self.idle.pop())


class Upstream:
    """Connections to all origins. Lives as long as the process; a reload keeps its pool.

    aiohttp's connector makes the connections. Those that can serve again wait here and not there: that saves 15 of 90
    µs a request, the newest is used first, and a retry gets a fresh one without asking.
    """

    def __init__(self) -> None:
        self._loop: AbstractEventLoop = asyncio.get_running_loop()
        self._connector = TCPConnector(limit=0, force_close=True, loop=self._loop)
        self._connector._factory = lambda: UpstreamConnection(self._loop)  # type: ignore[assignment]  # a partial there, any factory does
        self._pools: dict[Origin, OriginPool] = {}
        self._contexts: dict[str | None, tuple[float | None, ssl.SSLContext]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._sweep is not None:
            self._sweep.cancel()
        for pool in self._pools.values():
            pool.forget()
        await self._connector.close()

    def forget(self, origin: Origin) -> None:
        """Close the idle connections to `origin`, which no provider uses any more; others close with their answer."""
        if pool := self._pools.pop(origin, None):
            pool.forget()

    def open(self, request: UpstreamRequest) -> Coroutine[Any, Any, Answer]:
        """Send `request` and read the head of its answer.

        A connection that the peer had closed while it waited in the pool is replaced once, when nothing was answered
        on it. Raises UpstreamError: 502 when the provider cannot be reached or breaks off, 504 when it takes too
        long.
        """
        total_s = (request.timeouts or request.origin.timeouts).total_s
        return self._open(request, None) if total_s is None else self._open_within(request, total_s)

    async def _open_within(self, request: UpstreamRequest, total_s: float) -> Answer:
        deadline_s = self._loop.time() + total_s
        try:
            async with asyncio.timeout_at(deadline_s):
                return await self._open(request, deadline_s)
        except TimeoutError as error:
            message = f"{request.origin.authority} took longer than {total_s:g} s (timeouts.total)"
            raise UpstreamError(message, status=504, code="timeout") from error

    async def _open(self, request: UpstreamRequest, deadline_s: float | None) -> Answer:
        pool = self._pools.get(request.origin) or await self._pool_for(request.origin)
        connection = self._take(pool)
        if connection is not None:
            try:
                return await self._send_on(request, pool, connection, deadline_s)
            except UpstreamError as error:
                if not error.replayable:
                    raise
        return await self._send_on(request, pool, await self._connect(pool), deadline_s)

    def _take(self, pool: OriginPool) -> Connection | None:
        """Return an idle connection that can still be used. One that received unexpected bytes cannot."""
        while pool.idle:
            connection = pool.idle.pop()
            protocol = connection._protocol  # its property is a call more, three times a request
            if (
                isinstance(protocol, UpstreamConnection)
                and protocol.is_connected()
                and not protocol.heard  # else nothing has changed since `release`
            ):
                return connection
            _cut(connection)
        return None

    def release(self, pool: OriginPool, connection: Connection) -> None:
        """Keep the connection of an answer that was read to its end, if it can serve another request."""
        protocol = connection._protocol
        closed = pool.forgotten or protocol is None or protocol.should_close or not protocol.is_connected()
        if closed or not isinstance(protocol, UpstreamConnection):
            _cut(connection)
            return
        protocol.heard = False
        protocol.waits_since_s = self._loop.time()
        pool.idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(POOLED_S, self._close_stale)

    def _close_stale(self) -> None:
        """Close connections that are idle for too long; look again while there are idle ones."""
        oldest_s = self._loop.time() - POOLED_S
        for pool in self._pools.values():
            stale = [
                each
                for each in pool.idle
                if not isinstance(each.protocol, UpstreamConnection) or each.protocol.waits_since_s <= oldest_s
            ]
            pool.idle[:] = [each for each in pool.idle if each not in stale]
            for connection in stale:
                _cut(connection)
        waiting = any(pool.idle for pool in self._pools.values())
        self._sweep = self._loop.call_later(POOLED_S / 4, self._close_stale) if waiting else None

    async def _pool_for(self, origin: Origin) -> OriginPool:
        """Find out how to reach `origin`, once."""
        login = None
        try:
            proxy = outgoing_proxy(origin)
            if proxy is not None and proxy.user is not None:
                login = encode_basic_auth(proxy.user, proxy.password or "")
                proxy = proxy.with_user(None)
            context = await self._context(origin.ca_file) if origin.scheme == "https" else True
        except ValueError as error:
            raise UpstreamError(f"{origin.host} cannot be reached: {error}") from error
        url = URL.build(scheme=origin.scheme, host=origin.host, port=origin.port)
        absolute = proxy is not None and origin.scheme == "http"
        connect = None if login is None else {"Proxy-Authorization": login}
        pool = self._pools[origin] = OriginPool(
            call=ClientRequest("GET", url, loop=self._loop, ssl=context, proxy=proxy, proxy_headers=connect),
            timeout=ClientTimeout(connect=origin.timeouts.connect_s),
            address=origin.url,
            target_prefix=origin.url if absolute else "",
            proxy_authorization=login if absolute else None,
        )
        return pool

    async def _context(self, ca_file: str | None) -> ssl.SSLContext:
        """Return the trusted certificates; those of a file that has changed are read again."""
        try:
            changed_s = None if ca_file is None else await asyncio.to_thread(os.path.getmtime, ca_file)
            known = self._contexts.get(ca_file)
            if known is None or known[0] != changed_s:
                known = self._contexts[ca_file] = changed_s, await asyncio.to_thread(trust, ca_file)
        except OSError as error:
            message = f"The certificates in {trust_store(ca_file)} cannot be used: {explain_fault(error)}"
            raise UpstreamError(message) from error
        return known[1]

    async def _connect(self, pool: OriginPool) -> Connection:
        try:
            return await self._connector.connect(pool.call, [], pool.timeout)
        except TimeoutError as error:
            message = f"{pool.address} could not be reached within {pool.timeout.connect:g} s (timeouts.connect)"
            raise UpstreamError(message, status=504, code="timeout") from error
        except ClientHttpProxyError as error:
            message = f"The outgoing proxy refused {pool.address}: {error.status} {_phrase(error.status)}".rstrip()
            raise UpstreamError(message) from error
        except (ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"{pool.address} could not be reached: {explain_fault(error)}") from error

    async def _send_on(
        self, request: UpstreamRequest, pool: OriginPool, connection: Connection, deadline_s: float | None
    ) -> Answer:
        protocol = connection._protocol
        assert isinstance(protocol, UpstreamConnection)
        used, protocol.used = protocol.used, True
        timeouts = request.timeouts or request.origin.timeouts
        protocol.expect(head_only=request.method == "HEAD", timeout_s=timeouts.first_byte_s, upgrade=request.upgrade)
        pump: asyncio.Task[None] | None = None
        try:
            pump = self._write(request, pool, protocol)
            message, payload = await (protocol.read() if pump is None else _read_beside(protocol, pump))
            if message.code < 200:
                message, payload = await protocol.pass_over(message, payload)
            _check_head(request, protocol, message)
        except SocketTimeoutError as error:
            _cut(connection)
            message_ = f"{pool.address} did not answer within {timeouts.first_byte_s:g} s (timeouts.first_byte)"
            raise UpstreamError(message_, status=504, code="timeout") from error
        except (ClientError, HttpProcessingError, OSError) as error:
            _cut(connection)
            raise _failure(request, pool, error, replayable=used and not protocol.heard) from error
        except BaseException:
            _cut(connection)
            raise
        finally:
            if pump is not None and protocol.transport is None:
                pump.cancel()
        answer = read_head(request, message)
        if message.code == 101:
            answer.upgraded = UpgradedConnection(connection)
        elif payload.is_eof() and (pump is None or pump.done()):
            answer.body = take_whole(payload)
            self.release(pool, connection)
        else:
            protocol.limit_silence(timeouts.idle_s, payload)
            answer.stream = ResponseStream(self, pool, connection, payload, deadline_s, pump)
        return answer

    def _write(
        self, request: UpstreamRequest, pool: OriginPool, protocol: UpstreamConnection
    ) -> asyncio.Task[None] | None:
        """Send head and body. A body that passes through is sent by a task, beside which the answer is read."""
        transport = protocol.transport
        if transport is None:
            raise ServerDisconnectedError
        head = request_head(request, pool.target_prefix, pool.proxy_authorization)
        body = request.body
        if isinstance(body, StreamedBody):
            transport.write(head)
            pump = self._loop.create_task(_pump(body, protocol, (request.timeouts or request.origin.timeouts).idle_s))
            pump.add_done_callback(partial(_end_upload, protocol))
            return pump
        if body is None or not body.raw:
            transport.write(head)
        elif len(body.raw) < READ_BYTES:
            transport.write(head + body.raw)
        else:
            transport.writelines((head, body.raw))
        protocol.start_timeout()
        return None


def _check_head(request: UpstreamRequest, protocol: UpstreamConnection, message: RawResponseMessage) -> None:
    """Check what follows from a final head. Raises HttpProcessingError for a wrong handshake."""
    if message.code == 101:
        check_upgrade(request, message)
    elif message.code in BODILESS_STATUSES:
        protocol.note_body(message)


def _cut(connection: Connection) -> None:
    """End a connection at once, also one whose provider stopped reading."""
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()


def _phrase(status: int) -> str:
    """Return the usual words for a status: those of the proxy may repeat our password."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


async def _read_beside(
    protocol: UpstreamConnection, pump: asyncio.Task[None]
) -> tuple[RawResponseMessage, StreamReader]:
    """Read the head while the request body is still being sent. A failure to send it is raised at once."""
    reading = asyncio.get_running_loop().create_task(protocol.read())
    try:
        await asyncio.wait((reading, pump), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            pump.result()
            protocol.start_timeout()
        return await reading
    finally:
        reading.cancel()


async def _pump(body: StreamedBody, protocol: UpstreamConnection, idle_s: float | None) -> None:
    """Pass the client's body on, in chunks when its length is unknown. Slow providers slow the client down; one that
    takes nothing for `idle_s` seconds is given up: while nothing is read from the client, nobody sees it leave.
    """
    while data := await body.stream.read():
        if protocol.transport is None or protocol.transport.is_closing():
            return
        if body.length is None:
            protocol.transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            protocol.transport.write(data)
        if protocol.writing_paused:
            try:
                async with asyncio.timeout(idle_s):
                    await protocol._drain_helper()
            except TimeoutError as error:
                message = f"The provider read nothing of the request for {idle_s:g} s (timeouts.idle)"
                raise UpstreamError(message, status=504, code="timeout") from error
            except ConnectionError:
                return
    if body.length is None and protocol.transport is not None:
        protocol.transport.write(b"0\r\n\r\n")


def _end_upload(protocol: UpstreamConnection, pump: asyncio.Task[None]) -> None:
    """Abort the call when its upload failed. `_read_beside` raises the reason."""
    if not pump.cancelled() and pump.exception() is not None and protocol.transport is not None:
        protocol.transport.abort()


def _failure(request: UpstreamRequest, pool: OriginPool, error: Exception, replayable: bool) -> UpstreamError:
    """Return the error for an answer without a head. `replayable`: a pooled connection ended before the first byte."""
    if isinstance(error, HttpProcessingError):
        reason = _QUOTE.split(error.message, maxsplit=1)[0].strip()
        return UpstreamError(f"{pool.address} sent an invalid HTTP answer: {reason}", code="bad_upstream_answer")
    return UpstreamError(
        f"{pool.address} closed the connection without an answer",
        replayable=replayable and not isinstance(request.body, StreamedBody),
    )
