"""The sockets of clients: aiohttp's low-level server, and what it leaves to us.

One `Connection` per socket runs one coroutine for all its requests, one after the other. This is one of two files
that touch aiohttp's less public side (its `RequestHandler`), because the low-level server leaves to its user: a proper
answer to malformed requests, time limits for heads and idle connections, lingering, and the end of exchanges at
shutdown. What happens within an exchange is in `request_handler.py`. Begin reading at `Connection.start`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import BaseTransport
from collections.abc import Callable, Iterable

from aiohttp import HttpVersion10
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler as AiohttpHandler
from aiohttp.web_protocol import RequestPayloadError, _ErrInfo
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from llmproxy.access.certificates import read_certificate
from llmproxy.client_request import ClientCertificate
from llmproxy.errors import BadRequest, Overloaded, ProxyError
from llmproxy.server.concurrency import wait_until_over
from llmproxy.server.request_body import linger
from llmproxy.server.request_handler import RequestHandler
from llmproxy.server.request_head import exchange_of, head_size, head_too_large, nameless_exchange, refusal
from llmproxy.server.response_head import error_answer, response_head
from llmproxy.server.shared import Shared
from llmproxy.server.user_frames import UserFrames
from llmproxy.wire.http import MAX_FIELDS, READ_BYTES

log = logging.getLogger(__name__)

_SILENCE_S = 1.0
# For sending the last errors when the server stops; less after a second signal.
LAST_ERRORS_S = 2.0
LAST_ERRORS_HURRIED_S = 0.2
_MOST_NAMED = 5
# Heads that come whole and small are served uncounted: they cost what their socket costs, and /health answers always.
SMALL_HEAD_BYTES = 4 * 1024
# Requests that wait on one connection for the one before them.
_PIPELINED = 4

_Arrived = tuple[RawRequestMessage | _ErrInfo | ProxyError, StreamReader]


class Edge(Server):
    """Makes a Connection per socket.

    `lost` are those whose client left while its exchange goes on: a hook may take its time, or ignore that it is
    cancelled. `abandoned` counts the exchanges that did not end when the server stopped. `closed` is called after the
    end of each connection.
    """

    def __init__(self, shared: Shared) -> None:
        super().__init__(_unused, handler_cancellation=True, loop=asyncio.get_running_loop())
        self.shared = shared
        self.lost: set[Connection] = set()
        self.abandoned = 0
        self.closed: Callable[[], None] | None = None
        self._cut_now = asyncio.Event()

    def __call__(self) -> Connection:
        return Connection(self)

    async def stop(self, timeout_s: float) -> None:
        """Close idle connections, let exchanges finish for up to `timeout_s` seconds, end what is left with an
        error. An exchange that goes on after that is recorded and not waited for.
        """
        self.shared.stopping = True
        connections = self._all()
        for connection in connections:
            connection.close_if_idle()
        await wait_until_over(_tasks(connections), timeout_s, self._cut_now)
        if any(connection.running for connection in connections):
            for connection in connections:
                connection.cut()
            last_s = LAST_ERRORS_S if not self._cut_now.is_set() else LAST_ERRORS_HURRIED_S
            await wait_until_over(_tasks(connections), last_s)
        for connection in connections:
            self.abandoned += connection.abandon()
            connection.force_close()

    def cut(self) -> None:
        """End every running exchange with an error, now."""
        self._cut_now.set()
        for connection in self._all():
            connection.cut()

    def left(self, frames: UserFrames) -> list[str]:
        """Say which exchanges are running, and in which hook. May be called in another thread."""
        running = [each for each in self._all() if each.serving is not None]
        more = [f"{len(running) - _MOST_NAMED} more exchanges"] if len(running) > _MOST_NAMED else []
        return [each.describe(frames) for each in running[:_MOST_NAMED]] + more

    def _all(self) -> list[Connection]:
        return [*(each for each in self.connections if isinstance(each, Connection)), *self.lost]


def _tasks(connections: Iterable[Connection]) -> list[asyncio.Task[None]]:
    return [each.task for each in connections if each.task is not None and not each.task.done()]


async def _unused(request: BaseRequest) -> StreamResponse:
    raise AssertionError("Connection serves requests itself")


class Connection(AiohttpHandler):
    """One client socket. Its coroutine is cancelled when the client leaves."""

    __slots__ = (
        "_arriving",
        "_between_bytes",
        "_certificate",
        "_cutting",
        "_edge",
        "_head_begun",
        "_head_bytes",
        "_ignores_input",
        "_max_head_bytes",
        "_shared",
        "_small_bytes",
        "_tls",
        "serving",
        "task",
    )

    def __init__(self, edge: Edge) -> None:
        limits = edge.shared.runtime.limits
        super().__init__(
            edge,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.header_timeout_s,
            max_line_size=limits.max_head_size,
            max_field_size=limits.max_head_size,
            max_headers=MAX_FIELDS,
            read_bufsize=READ_BYTES,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # None switches it off, which the annotation forgets
        )
        self._shared = edge.shared
        self._edge = edge
        self._max_msg_queue_size, self._msg_queue_resume_size = _PIPELINED, _PIPELINED // 2
        self._max_head_bytes = limits.max_head_size
        self._small_bytes = min(SMALL_HEAD_BYTES, limits.max_head_size)
        self._head_begun = False
        self._head_bytes = self._between_bytes = 0
        self._arriving: StreamReader = EMPTY_PAYLOAD
        self._ignores_input = False
        self._cutting = False
        self.task: asyncio.Task[None] | None = None
        self.serving: RequestHandler | None = None
        self._certificate: ClientCertificate | None = None
        self._tls = False

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._tls = transport.get_extra_info("ssl_object") is not None
        if certificate := transport.get_extra_info("peercert"):
            self._certificate = read_certificate(certificate.get("subject", ()))
        self.task = self._task_handler
        limit = self._shared.runtime.limits.max_connections
        if limit is not None and len(self._edge._connections) > limit:
            self._turn_away(Overloaded("Too many connections are open (server.max_connections). Try again shortly"))

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._forget_heads()
        if self.running:
            self._edge.lost.add(self)
        if self._edge.closed is not None:
            self._edge.closed()

    def data_received(self, data: bytes) -> None:
        """Parse what came. `_arriving` is the body of the newest request: what comes after its end is a head."""
        if self._ignores_input:
            return
        if self._upgraded:  # kept, up to a limit, until the WebSocket is accepted
            super().data_received(data)
            return
        body = self._arriving
        in_head, had_bytes = body.is_eof(), body.total_bytes
        super().data_received(data)
        if self._messages and not self._note_newest(body):
            return
        if in_head:
            if data:  # aiohttp also calls this with nothing, to go on with what it kept
                self._in_heads(len(data))
        elif body.total_bytes == had_bytes:
            self._between_chunks(len(data))
        else:
            self._between_bytes = 0

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on where reading was paused. aiohttp calls this for each body that is read, and parses nothing then."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _note_newest(self, body: StreamReader) -> bool:
        """Take note of the newest request, whose body comes next. Return False where it cannot be parsed."""
        newest, payload = self._messages[-1]
        if isinstance(newest, _ErrInfo):
            self._ignores_input = True
            if not body.is_eof():
                body.set_exception(RequestPayloadError(newest.message))
            return False
        self._arriving = payload
        return True

    # -- heads: counted while they are not whole, or wait, or are large

    def _in_heads(self, size_bytes: int) -> None:
        """Count bytes of which the first at least belong to a head."""
        if self._messages:
            if self._waiter is None:  # these wait for the request before them, with their bodies
                self._count_heads(size_bytes)
            elif size_bytes > self._small_bytes:
                self._count_heads(sum(head_size(each) for each, _ in self._messages if not isinstance(each, _ErrInfo)))
            return
        if not self._head_begun:
            self._head_begun = True
            self._expect_head(self._shared.runtime.limits.header_timeout_s)
        if self._head_bytes + size_bytes > self._max_head_bytes:
            self._turn_away(head_too_large())
        else:
            self._count_heads(size_bytes)

    def _between_chunks(self, size_bytes: int) -> None:
        """Limit what comes within a body and is none of it: the parser keeps trailers as it keeps a head."""
        self._between_bytes += size_bytes
        if self._between_bytes > self._max_head_bytes:
            self._ignores_input = True
            self._arriving.set_exception(RequestPayloadError("Too much between the chunks of the body"))

    def _count_heads(self, size_bytes: int) -> None:
        try:
            self._shared.budget.count(size_bytes)
        except ProxyError as error:
            self._turn_away(error)
        else:
            self._head_bytes += size_bytes

    def _forget_heads(self) -> None:
        self._shared.budget.uncount(self._head_bytes)
        self._head_bytes = 0

    def _turn_away(self, error: ProxyError) -> None:
        """Answer with `error` after the requests that are here already, and read no more."""
        self._ignores_input = True
        self._messages.append((error, EMPTY_PAYLOAD))  # type: ignore[arg-type]  # only `_next_message` reads it
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def drain(self) -> None:
        """Wait until the client has read enough. Raises ConnectionError when it left."""
        await self._drain_helper()

    def take_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport | None, bytes]:
        """Give the socket of a WebSocket to `protocol`. Return its transport, and what came behind the head."""
        transport, tail = self.transport, self._message_tail
        self._message_tail, self._parser = b"", None
        if transport is not None:
            transport.set_protocol(protocol)
            transport.resume_reading()
        return transport, tail

    # -- time limits: at most one timer, which fires late and looks again

    def _expect_head(self, timeout_s: float) -> None:
        """Close the connection when no whole head arrives within `timeout_s` seconds."""
        close_s = self._loop.time() + timeout_s
        handle = self._keepalive_handle
        if handle is not None and close_s < self._next_keepalive_close_time:
            handle.cancel()
            handle = None
        self._next_keepalive_close_time = close_s
        if handle is None:
            self._keepalive_handle = self._loop.call_at(close_s, self._process_keepalive)

    def _process_keepalive(self) -> None:
        self._keepalive_handle = None
        if self._force_close:
            return
        if self._loop.time() < self._next_keepalive_close_time:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        elif self._waiter is not None and not self._waiter.done():
            if self._head_begun:
                self._refuse(BadRequest("The request head took too long", status=408, code="request_timeout"))
            self.force_close()

    # -- shutdown

    def close_if_idle(self) -> None:
        """Close the connection when no exchange runs here; otherwise it closes after the exchange."""
        if self._waiter is not None and not self._messages:
            self.force_close()
        elif self.serving is not None and self.serving.splice is not None:
            self.serving.splice.drain()

    def cut(self) -> None:
        """End the running exchange with an error."""
        self._cutting = True
        if self.serving is not None and self.serving.splice is not None:
            self.serving.splice.close()
        elif self.task is not None:
            self.task.cancel()

    @property
    def running(self) -> bool:
        """Return whether an exchange is under way here."""
        return self.serving is not None and self.task is not None and not self.task.done()

    def describe(self, frames: UserFrames) -> str:
        """Say which exchange is under way, for how long, and in which hook of a user."""
        exchange = None if self.serving is None else self.serving.exchange
        if exchange is None or self.task is None:
            return "a connection"
        where, took_s = frames.waiting(self.task.get_coro()), time.monotonic() - exchange.started_s
        within = f", in {where}" if where else ""
        return f"exchange {exchange.id} ({exchange.method} {exchange.full_path:.80}, for {took_s:.0f} s{within})"

    def abandon(self) -> bool:
        """Record an exchange that does not end although it is cancelled. Return whether there is one."""
        if self.serving is None or not self.running:
            return False
        log.error("exchange %s does not end; it is not waited for", self.serving.exchange.id)
        self.serving.finish()
        return True

    # -- one request after the other

    async def start(self) -> None:
        """Serve request after request until one side is done: the coroutine of the connection."""
        more = True
        try:
            while more and not self._force_close:
                message, payload = await self._next_message()
                if refused := self._refusal(message):
                    self._refuse(refused)
                    await self._drop_rest()
                    break
                assert isinstance(message, RawRequestMessage)
                more = await self._serve(message, payload) and not self._shared.stopping
                if more:
                    self._expect_head(self._shared.runtime.limits.keepalive_timeout_s)
                elif self._ignores_input:
                    await self._drop_rest()
                elif not payload.is_eof():
                    await linger(payload)
        finally:
            self.task = None  # a cancelled task keeps the frames of its exchange, and they this connection
            if self.transport is not None:
                self.transport.close()

    async def _next_message(self) -> _Arrived:
        """Return the next head, once it is here, and free its slot in the parser."""
        if not self._messages:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message: _Arrived = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        self._head_begun = False
        return message

    def _refusal(self, message: RawRequestMessage | _ErrInfo | ProxyError) -> ProxyError | None:
        """Return the error for what cannot be served. Only heads that were counted can be too large."""
        if isinstance(message, ProxyError):
            return message
        if self._head_bytes and isinstance(message, RawRequestMessage) and head_size(message) > self._max_head_bytes:
            return head_too_large()
        return refusal(message)

    async def _drop_rest(self) -> None:
        """Let the client read the answer to what it still sends: with bytes unread, a close would be a reset."""
        self._ignores_input, self._parser = True, None
        self._forget_heads()
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
        await asyncio.sleep(_SILENCE_S)  # cancelled when the client leaves

    async def _serve(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        transport = self.transport
        if transport is None:
            return False
        exchange = exchange_of(message, self.peername)
        exchange.client.certificate, exchange.client.tls = self._certificate, self._tls
        if self._head_bytes:
            own_bytes = min(head_size(message), self._head_bytes)
            self._head_bytes -= own_bytes
            self._shared.budget.hand_over(exchange, own_bytes)
            if not self._messages:
                self._forget_heads()
        self.serving = serving = RequestHandler(
            self._shared, exchange, self, transport, http10=message.version == HttpVersion10
        )
        try:
            return await serving.run(payload, not message.should_close and not message.upgrade)
        except asyncio.CancelledError:
            if transport.is_closing():
                raise
            serving.cut(self._why_cut(exchange.id))
            return False
        except ConnectionError:
            return False
        except Exception:
            log.exception("exchange %s failed", exchange.id)
            return False
        finally:
            self.serving = None
            self._edge.lost.discard(self)
            serving.finish()

    def _why_cut(self, exchange_id: str) -> ProxyError:
        """Return the error for an exchange that is cancelled while its client is there."""
        if self._cutting:
            return Overloaded("The proxy is stopping", code="stopping")
        log.error("exchange %s was cancelled by a hook, or by what it calls", exchange_id)
        return ProxyError("Internal Server Error. The log of the proxy has the details")

    def _refuse(self, error: ProxyError) -> None:
        """Refuse and count a head that cannot be parsed or does not end: no exchange begins with it."""
        metrics = self._shared.metrics
        metrics.begin()
        exchange = nameless_exchange(self.peername)
        exchange.error = error
        exchange.status = error.status
        exchange.outcome = "error"
        answer = error_answer(exchange, error)
        head, _ = response_head(exchange, answer, http10=False, keep_alive=False)
        if self.transport is not None:
            self.transport.write(head + answer.body)
        exchange.ended_s = time.monotonic()
        metrics.record(exchange)
        self._shared.runtime.pipeline.hooks.report(exchange)
