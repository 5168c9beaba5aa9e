"""Handle one exchange on one connection: find its endpoint, get its answer, send it, and record it.

These are the steps of a request as the server sees them. Every exception is caught here, once for everything that
answers and once for everything that streams: whatever a hook or a provider does (`SystemExit` too), the client gets an
error of its dialect or an aborted connection, and the exchange is recorded exactly once. Begin reading at
`RequestHandler.run`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from functools import partial

from aiohttp.streams import StreamReader

from llmproxy.access.admission import Audience
from llmproxy.access.credentials import missing_authorization
from llmproxy.access.permission import check_known_path
from llmproxy.answer import Answer, Upgraded, framing_of
from llmproxy.body import ByteStream
from llmproxy.errors import BrokenStream, Overloaded, ProxyError, Unauthenticated, forget_frames
from llmproxy.exchange import Exchange
from llmproxy.log_context import current_request_id
from llmproxy.redaction.echoes import mask_error, shows_key
from llmproxy.routing.router import ResolvedPath
from llmproxy.server.client_connection import ClientConnection
from llmproxy.server.keepalive import Keepalive
from llmproxy.server.observer import Observer, observe, observe_whole
from llmproxy.server.outcome import outcome_of
from llmproxy.server.request_body import read_body, send_continue
from llmproxy.server.response_head import (
    TransferMode,
    chunk,
    error_answer,
    error_event,
    last_chunk,
    response_head,
    upgrade_head,
)
from llmproxy.server.shared import Shared
from llmproxy.server.splice import Splice, splice
from llmproxy.server.websocket import asks_for_socket, check_socket
from llmproxy.user_code import discard, is_cancellation
from llmproxy.websocket_traffic import WebSocketTraffic
from llmproxy.wire.framing import StreamPosition
from llmproxy.wire.http import BODILESS_STATUSES

log = logging.getLogger(__name__)

PART_BYTES = 256 * 1024
_PREFLIGHT = "preflight"  # of browsers, whatever the path: the path in metrics
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class RequestHandler:
    """Serves one exchange. After `run` or `cut`, call `finish`; only the first call counts."""

    __slots__ = (
        "_answer",
        "_client",
        "_exchange",
        "_finished",
        "_has_turn",
        "_http10",
        "_keepalive",
        "_observer",
        "_own",
        "_position",
        "_runtime",
        "_sending",
        "_shared",
        "_splice",
        "_transfer",
        "_transport",
    )

    def __init__(
        self,
        shared: Shared,
        exchange: Exchange,
        client: ClientConnection,
        transport: asyncio.Transport,
        *,
        http10: bool,
    ) -> None:
        self._shared = shared
        self._runtime = shared.runtime
        self._exchange = exchange
        self._client = client
        self._transport = transport
        self._http10 = http10
        self._answer: Answer | None = None
        self._observer: Observer | None = None
        self._keepalive: Keepalive | None = None
        self._splice: Splice | None = None
        self._transfer: TransferMode = "length"
        self._position: StreamPosition | None = None
        self._own = False
        self._sending = False
        self._finished = self._has_turn = False
        exchange.budget = shared.budget
        self._runtime.enter()
        shared.running[exchange.id] = exchange
        shared.metrics.begin()
        current_request_id.set(exchange.request_id)
        self._runtime.pipeline.hooks.begin_report(exchange)

    @property
    def splice(self) -> Splice | None:
        """Return the splice of a WebSocket that is open."""
        return self._splice

    @property
    def exchange(self) -> Exchange:
        """Return the exchange that is served."""
        return self._exchange

    async def run(self, payload: StreamReader, keep_alive: bool) -> bool:
        """Answer the request whose body is `payload`. Return whether the connection may serve another one.

        Raises CancelledError when the client left, ConnectionError when that is seen while writing.
        """
        exchange = self._exchange
        handler = self._runtime.admin.find(exchange.method, exchange.full_path)
        hooks = self._runtime.pipeline.hooks
        self._own = exchange.own = handler is not None
        preflight = self._runtime.admission.preflight(exchange)
        try:
            if preflight is not None:
                self._own, exchange.template, answer = True, _PREFLIGHT, preflight
            elif handler is not None:
                exchange.template = handler.template
                if handler.audience is Audience.CLIENTS:
                    self._runtime.admin.take_dialect(exchange)
                await self._admit(handler.audience)
                answer = await handler(exchange)
            else:
                answer = await self._proxied(payload)
        except BaseException as error:
            answer = self._failed(error)
        self._answer = answer
        if answer.upgraded is not None:
            return await self._pass_frames(answer, answer.upgraded)
        if hooks.on_response and not self._own:
            try:
                await hooks.response(exchange, answer)
            except BaseException as error:
                discard(answer)
                answer = self._answer = self._failed(error)
        keep_alive = keep_alive and payload.is_eof() and not self._shared.stopping
        return await self._send(answer, keep_alive)

    async def _proxied(self, payload: StreamReader) -> Answer:
        exchange, pipeline = self._exchange, self._runtime.pipeline
        if self._shared.stopping:
            raise Overloaded("The proxy is stopping", code="stopping")
        if not self._http10 and asks_for_socket(exchange):
            exchange.upgrade, exchange.websocket = True, WebSocketTraffic()
        resolved = await self._locate()
        limits, budget, bodies = self._runtime.limits, self._shared.budget, self._shared.bodies
        concurrency = self._shared.concurrency
        if not concurrency.admits(limits.max_concurrent):
            await concurrency.enter(limits.max_concurrent or 0, limits.queue_timeout_s)
        self._has_turn = True
        if exchange.upgrade:
            exchange.read_model()
        else:
            go_ahead = partial(send_continue, exchange.headers, self._transport, http10=self._http10)
            own, chosen = resolved.provider is None, resolved.provider
            whole = resolved.signed if chosen is None else chosen.holds_bodies
            await read_body(exchange, payload, limits, budget, go_ahead, routed=own, whole=whole, memory=bodies)
        exchange.received_s = time.monotonic()
        return await pipeline.answer(exchange, resolved)

    async def _admit(self, audience: Audience = Audience.CLIENTS) -> None:
        """Let the request in. Raises ProxyError; one from nobody that is known is for no middleware."""
        try:
            waiting = self._runtime.admission.admit(self._exchange, audience)
            if waiting is not None:
                await waiting
        except Unauthenticated:
            self._own = True
            raise

    async def _locate(self) -> ResolvedPath:
        """Find endpoint and provider of the path. Raises ProxyError for a request that may not come in, which is not
        told what else there is, and for an unknown path.
        """
        exchange, router = self._exchange, self._runtime.pipeline.router
        try:
            if exchange.upgrade:
                resolved = router.locate_socket(exchange.full_path, exchange.query)
            else:
                resolved = router.locate(exchange.method, exchange.full_path, exchange.headers)
        except ProxyError:
            await self._admit()
            raise
        exchange.path, exchange.endpoint, exchange.template = resolved.path, resolved.endpoint, resolved.template
        # Admission takes the header that it has verified.
        authorized = not resolved.needs_authorization or exchange.headers.get("Authorization", "").strip()
        await self._admit()
        if not authorized:
            raise missing_authorization()
        if exchange.upgrade:
            check_socket(exchange)
        key = exchange.client.key
        if key is not None:
            check_known_path(key, resolved.endpoint)
        return resolved

    def _failed(self, error: BaseException) -> Answer:
        """Return the answer to a failure: a ProxyError as it is, otherwise a 500 without details and a log line.

        Raises `error` when it says that the client left.
        """
        if is_cancellation(error):
            try:
                raise error
            finally:
                del error  # else the error and this frame keep each other, and the exchange
        if isinstance(error, ProxyError) and type(error.status) is int and 300 <= error.status <= 599:
            try:
                mask_error(self._exchange, error)
                answer = error_answer(self._exchange, error)
            except Exception as invalid:  # a hook gave it a message or headers of other types
                error = invalid
            else:
                self._exchange.error = error
                return answer
        log.error("exchange %s failed", self._exchange.id, exc_info=error)
        self._exchange.error = plain = ProxyError("Internal Server Error. The log of the proxy has the details")
        return error_answer(self._exchange, plain)

    async def _send(self, answer: Answer, keep_alive: bool) -> bool:
        exchange = self._exchange
        exchange.answer = answer
        if "Origin" in exchange.headers:
            self._runtime.admission.share(exchange, answer)
        try:
            self._read_head(answer)
            head, transfer = response_head(exchange, answer, http10=self._http10, keep_alive=keep_alive)
        except Exception as error:
            discard(answer)
            answer = self._answer = self._failed(error)
            head, transfer = response_head(exchange, answer, http10=self._http10, keep_alive=keep_alive)
            answer.framing = framing_of(answer.headers, exchange.endpoint, exchange.query, answer.status)
        self._transfer = transfer
        if transfer != "length" and "Content-Encoding" not in answer.headers:
            self._position = None if answer.framing is None else answer.framing.position()
        exchange.status, exchange.answered_s = answer.status, time.monotonic()
        if not exchange.charged:
            self._observer = observe(exchange, answer)
        self._sending = True
        bodiless = answer.bodiless or exchange.method == "HEAD"
        await self._begin(head, b"" if bodiless else answer.body)
        if answer.stream is not None and not bodiless and not await self._send_rest(answer.stream):
            return keep_alive and not self._transport.is_closing() and transfer != "close"
        if transfer != "length" and not bodiless:
            self._transport.write(last_chunk(transfer))
        if self._client.writing_paused:
            await self._client.drain()
        exchange.outcome = "complete" if answer.error is None else "error"
        return keep_alive and transfer != "close"

    async def _pass_frames(self, answer: Answer, upgraded: Upgraded) -> bool:
        """Accept the WebSocket, and pass on what comes until it is over. Return False: the connection is used up."""
        exchange, metrics = self._exchange, self._shared.metrics
        exchange.answer, traffic = answer, exchange.websocket
        assert traffic is not None, "only a WebSocket is upgraded"
        self._transport.write(upgrade_head(exchange, answer))
        exchange.status, exchange.answered_s = answer.status, time.monotonic()
        idle_s = self._runtime.limits.websocket_idle_s
        self._splice = splice(exchange, answer, traffic, self._runtime.pipeline.prices, idle_s)
        metrics.websockets.open += 1
        try:
            await self._splice.run(self._client, upgraded)
        finally:
            metrics.websockets.open -= 1
        return False

    def _read_head(self, answer: Answer) -> None:
        """Find the framing of an answer and, if it is whole, read it: its head says what it costs."""
        exchange = self._exchange
        if answer.status in BODILESS_STATUSES:
            answer.bodiless = True  # also where a hook says so
        answer.framing = framing_of(answer.headers, exchange.endpoint, exchange.query, answer.status)
        if answer.stream is None and answer.framing is None and not self._own:
            exchange.status = answer.status
            observe_whole(exchange, answer)
            self._runtime.pipeline.prices.charge_answer(exchange, answer)

    async def _begin(self, head: bytes, body: bytes) -> None:
        """Send `head` and what is here of the body. A long one goes as fast as the client reads it: the socket would
        keep a copy of what is written at once.
        """
        if len(body) <= PART_BYTES:
            self._transport.write(head + chunk(body, self._transfer) if body else head)
            if body:
                self._saw(body)
            return
        self._transport.write(head)
        for start in range(0, len(body), PART_BYTES):
            if self._client.writing_paused:
                await self._client.drain()
            part = body[start : start + PART_BYTES]
            self._transport.write(chunk(part, self._transfer))
            self._saw(part)

    async def _send_rest(self, stream: ByteStream) -> bool:
        """Pass on what follows. Return False when it broke."""
        transport, client, transfer = self._transport, self._client, self._transfer
        if self._position is not None and self._exchange.endpoint is not None:
            self._keepalive = Keepalive(self._keep_alive)
        while True:
            if client.writing_paused:
                await client.drain()
            try:
                data = await stream.read()
            except BaseException as error:
                if is_cancellation(error):
                    raise
                self._break(error)
                return False
            if not data:
                return True
            transport.write(chunk(data, transfer))
            self._saw(data)
            if self._keepalive is not None:
                self._keepalive.wrote_s = time.monotonic()

    def _between_frames(self) -> bool:
        """Return whether a frame of ours fits here: the stream can take one, and its last frame is whole."""
        return self._position is not None and self._position.between_frames()

    def _keep_alive(self) -> None:
        """Send what the client ignores, unless it does not read what it has got.

        Streams of calls that nobody knows get nothing: google-genai takes a comment for JSON.
        """
        data = self._position.keepalive() if self._position is not None else b""
        if data and not self._client.writing_paused:
            self._transport.write(chunk(data, self._transfer))

    def _saw(self, data: bytes) -> None:
        """Show everybody who watches that `data` was sent."""
        self._exchange.sent_bytes += len(data)
        if self._position is not None:
            self._position.advance(data)
        if self._observer is not None:
            self._observer.feed(data)
        hooks = self._runtime.pipeline.hooks
        if hooks.on_chunk and not self._own:
            hooks.chunk(self._exchange, data)

    def _break(self, error: BaseException) -> None:
        """End an answer that broke off: with an error event where one fits, else by aborting the connection."""
        exchange = self._exchange
        if not isinstance(error, ProxyError):
            log.error("the answer of exchange %s failed", exchange.id, exc_info=error)
            error = BrokenStream("The answer ended too early")
        mask_error(exchange, error)
        exchange.error = error
        exchange.outcome = "broken"
        if self._between_frames():
            frames = error.frames if isinstance(error, BrokenStream) else b""
            event = frames if frames and not shows_key(exchange, frames) else error_event(exchange, error)
            self._transport.write(chunk(event, self._transfer) + last_chunk(self._transfer))
            self._saw(event)
            return
        if self._transfer == "close":
            raw: socket.socket | None = self._transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    def cut(self, error: ProxyError) -> None:
        """End this exchange with `error`, now: it was cancelled, and its client is still there."""
        if self._sending:
            self._break(error)
            return
        self._answer = answer = self._failed(error)
        head, _ = response_head(self._exchange, answer, http10=self._http10, keep_alive=False)
        self._exchange.status, self._exchange.outcome = answer.status, "error"
        self._transport.write(head if self._exchange.method == "HEAD" else head + answer.body)

    def finish(self) -> None:
        """Release what the exchange holds and record it; called when it is over, however it went.

        Called again it does nothing: a server that stops does not wait for a hook that never ends.
        """
        if self._finished:
            return
        self._finished = True
        try:
            self._release()
        finally:
            self._record()

    def _release(self) -> None:
        if self._answer is not None and self._answer.stream is not None:
            discard(self._answer)
        if self._keepalive is not None:
            self._keepalive.stop()
            self._keepalive = None  # it refers to this handler
        if self._observer is not None:
            self._observer.close()
        if self._splice is not None:
            self._splice.finish()

    def _record(self) -> None:
        exchange, shared = self._exchange, self._shared
        exchange.ended_s = time.monotonic()
        try:
            reads = exchange.outcome == "complete" or not self._client.writing_paused
            exchange.outcome = outcome_of(exchange, self._answer, reads=reads)
            if not self._own:
                pipeline = self._runtime.pipeline
                pipeline.finish(exchange)
                pipeline.hooks.end(exchange)
        finally:
            shared.running.pop(exchange.id, None)
            if self._has_turn:
                shared.concurrency.leave(shared.runtime.limits.max_concurrent)
            try:
                shared.metrics.record(exchange)
                self._runtime.pipeline.hooks.report(exchange)
            finally:
                current_request_id.set(None)
                forget_frames(exchange.error)
                shared.budget.release_all(exchange)
                self._runtime.leave()
