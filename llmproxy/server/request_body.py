"""Read request bodies into memory where the pipeline must read them; pass them through elsewhere.

Every body is bounded in size, in silence and in the time that it is waited for, and counted as its bytes arrive: what a
client only declares holds up nobody. `100 Continue` is sent when the first read would otherwise wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError

from llmproxy.answer import Headers
from llmproxy.body import Body, FormBody, FormStream, StreamedBody, StreamedForm
from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.wire.compression import PIECE_BYTES
from llmproxy.wire.multipart import BrokenForm, FieldFinder, boundary_of, is_form
from llmproxy.wire.repeated_json import JsonMemory
from llmproxy.wire.whole_body import take_whole

_PIECES = 8  # how many a thread decodes before they are counted
LINGER_S = 10.0
_LINGER_SILENCE_S = 1.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE_BYTES = 4 * 1024 * 1024
_SMALL_PIECE_BYTES = 4096
# Of the largest that is held though it could pass through: an image, or a minute of speech.
_SMALL_FORM_BYTES = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of what clients may send, and how much at once, from `server:` of the configuration.

    Sizes in bytes, times in seconds; None for no limit.
    """

    max_head_size: int
    max_body_size: int | None
    max_upload_size: int | None
    header_timeout_s: float
    keepalive_timeout_s: float
    body_timeout_s: float
    body_total_timeout_s: float | None
    max_connections: int | None = None
    max_concurrent: int | None = None
    queue_timeout_s: float = 0.0
    websocket_idle_s: float | None = None


class RequestStream:
    """A ByteStream over a request body as the client sends it.

    Raises BadRequest when it is broken, too slow or too large.
    """

    __slots__ = ("_go_ahead", "_left_bytes", "_left_s", "_payload", "_silence_s", "_total_s")

    def __init__(
        self, payload: StreamReader, limit_bytes: int | None, limits: Limits, go_ahead: Callable[[], None]
    ) -> None:
        self._payload = payload
        self._left_bytes = limit_bytes
        self._silence_s = limits.body_timeout_s
        self._total_s = limits.body_total_timeout_s
        self._left_s = limits.body_total_timeout_s
        self._go_ahead: Callable[[], None] | None = go_ahead

    async def read(self) -> bytes:
        try:
            data: bytes = await (self._payload.readany() if self._payload.is_eof() else self._wait())
        except (RequestPayloadError, HttpProcessingError) as error:
            raise BadRequest("The request body does not end as its headers declare", code="invalid_framing") from error
        if self._left_bytes is not None:
            self._left_bytes -= len(data)
            if self._left_bytes < 0:
                raise too_large()
        return data

    async def _wait(self) -> bytes:
        """Return the next bytes when they arrive. Only the time that is spent here counts: a slow provider is no fault
        of the client."""
        if self._go_ahead is not None:
            self._go_ahead()
            self._go_ahead = None
        loop = asyncio.get_running_loop()
        began_s, left_s = loop.time(), self._left_s
        wait_s = self._silence_s if left_s is None else min(self._silence_s, left_s)
        try:
            async with asyncio.timeout_at(began_s + wait_s):
                data: bytes = await self._payload.readany()
        except TimeoutError as error:
            message = f"Nothing of the request body arrived for {self._silence_s:g} s (server.body_timeout)"
            if wait_s < self._silence_s:
                message = f"The request body took longer than {self._total_s:g} s (server.body_total_timeout)"
            raise BadRequest(message, status=408, code="request_timeout") from error
        if left_s is not None:
            self._left_s = max(left_s + began_s - loop.time(), 0.0)
        return data

    def at_end(self) -> bool:
        """Return whether all of it was read."""
        at_end: bool = self._payload.at_eof()
        return at_end

    def close(self) -> None:
        """Do nothing: the connection reads or cuts what is left."""


def send_continue(headers: Headers, transport: asyncio.Transport, *, http10: bool) -> None:
    """Tell a client that waits for it to send its body."""
    if headers.get("Expect", "").lower() == "100-continue" and not http10:
        transport.write(CONTINUE)


def too_large() -> BadRequest:
    """Return the 413 of both limits."""
    return BadRequest("The request body is larger than this proxy accepts", status=413, code="request_too_large")


async def read_body(
    exchange: Exchange,
    payload: StreamReader,
    limits: Limits,
    budget: MemoryBudget,
    go_ahead: Callable[[], None],
    *,
    routed: bool,
    whole: bool = False,
    memory: JsonMemory | None = None,
) -> None:
    """Give `exchange` its body, and for calls that name a model the model and the stream flag.

    Bodies are held where the endpoint's body is read, or where `whole` is set, else passed through. `routed` says that
    the model decides who answers: a body that cannot be decoded is refused then, and otherwise left to the provider's
    judgement. A body that goes on from one in `memory` is read from there on. Raises BadRequest (400, 408, 413),
    Overloaded.
    """
    declared = exchange.headers.get("Content-Length")
    if payload is EMPTY_PAYLOAD:
        exchange.body = None if declared is None else Body(b"")
        return
    length = None if declared is None else int(declared)
    readable = exchange.endpoint is not None and exchange.endpoint.model
    form = readable and not whole and _is_form(exchange)
    if form or not (readable or whole):
        _check_length(length, limits.max_upload_size)
        stream = RequestStream(payload, limits.max_upload_size, limits, go_ahead)
        if form:
            most_bytes = budget.limit_bytes if limits.max_body_size is None else limits.max_body_size
            await _read_form(exchange, stream, length, most_bytes, budget, routed=routed)
        else:
            exchange.body = StreamedBody(stream=stream, length=length)
        return
    await _read_held(exchange, payload, length, limits, budget, go_ahead, memory, readable=readable, routed=routed)


def _is_form(exchange: Exchange) -> bool:
    """Return whether the body is a multipart form of a call that may have one."""
    endpoint, headers = exchange.endpoint, exchange.headers
    if endpoint is None or not endpoint.takes_forms or "Content-Encoding" in headers:
        return False
    return is_form(headers.get("Content-Type", ""))


async def _read_form(
    exchange: Exchange,
    stream: RequestStream,
    length: int | None,
    most_bytes: int,
    budget: MemoryBudget,
    *,
    routed: bool,
) -> None:
    """Give `exchange` a multipart form, which is read up to the field that names the model; the rest passes through.

    A small one is held, so that it can be sent again. One whose model does not stand in the first `most_bytes` has
    none. For a key that may use only some models the whole form is read, and names its model once.
    """
    key = exchange.client.key
    restricted = key is not None and bool(key.models)
    finder, ended, fault = None, False, ""
    try:
        boundary = boundary_of(exchange.headers.get("Content-Type", ""))
        finder = FieldFinder(boundary, "model", all_of_them=restricted)
        whole = restricted or (length is not None and length <= _SMALL_FORM_BYTES)
        while (whole or not finder.done) and len(finder.data) < most_bytes and not ended:
            data = await stream.read()
            budget.hold(exchange, len(data))
            finder.feed(data)
            ended = not data or (finder.ended and stream.at_end())
        if ended and not finder.done:
            fault = "ends without its last boundary"
        elif restricted and len(finder.spans) > 1:
            fault = "has the field 'model' twice; send it once"
    except BrokenForm as error:
        fault = str(error)
    if fault and routed:
        raise BadRequest(f"The multipart form {fault}", code="invalid_form")
    if restricted and not (ended or fault):
        raise too_large()  # what follows may name another model
    head = b"" if finder is None else bytes(finder.data)
    span = finder.spans[0] if finder is not None and finder.spans and not fault else None
    if ended:
        exchange.body = FormBody(head, span)
    else:
        exchange.body = StreamedForm(form=FormStream(head, span, stream), length=length)
    exchange.read_model()


async def _read_held(
    exchange: Exchange,
    payload: StreamReader,
    length: int | None,
    limits: Limits,
    budget: MemoryBudget,
    go_ahead: Callable[[], None],
    memory: JsonMemory | None,
    *,
    readable: bool,
    routed: bool,
) -> None:
    """Give `exchange` its whole body, and what is `readable` of it. One that could never be held is refused before it
    comes.
    """
    limit_bytes = budget.limit_bytes if limits.max_body_size is None else min(limits.max_body_size, budget.limit_bytes)
    _check_length(length, limit_bytes)
    if length is not None and payload.is_eof():
        budget.hold(exchange, length)
        raw = take_whole(payload)
    else:
        raw = await _hold(exchange, RequestStream(payload, limit_bytes, limits, go_ahead), budget, length)
    encoding = exchange.headers.get("Content-Encoding", "").strip().lower()
    turns = None if exchange.endpoint is None else exchange.endpoint.dialect.readers.turns
    exchange.body = body = Body(raw, "" if encoding == "identity" else encoding, limit_bytes, memory, turns)
    if readable:
        try:
            if body.encoding or exchange.held_bytes >= LARGE_BYTES:
                await _read_slowly(exchange, body, budget)
            else:
                exchange.read_model()
        except BadRequest:
            if routed:
                raise


def _check_length(length: int | None, limit_bytes: int | None) -> None:
    """Refuse a body before it comes."""
    if length is not None and limit_bytes is not None and length > limit_bytes:
        raise too_large()


async def _read_slowly(exchange: Exchange, body: Body, budget: MemoryBudget) -> None:
    if body.encoding:
        await _decode(exchange, body, budget)
    if exchange.held_bytes < LARGE_BYTES:
        exchange.read_model()
    else:
        await _in_turn(budget, exchange.read_model)


async def _hold(exchange: Exchange, stream: RequestStream, budget: MemoryBudget, length: int | None) -> bytes:
    """Return the whole body. Small pieces are joined as they come: each alone would cost 40 bytes more than it has.
    Large ones are joined at the end: growing copies all of them again and again."""
    data = await stream.read()
    budget.hold(exchange, len(data))
    if not data or len(data) == length:
        return data
    pieces: list[bytes | bytearray] = [data]
    size_bytes = len(data)
    while size_bytes != length and (data := await stream.read()):
        budget.hold(exchange, len(data))
        size_bytes += len(data)
        last = pieces[-1]
        if len(data) >= _SMALL_PIECE_BYTES:
            pieces.append(data)
        elif isinstance(last, bytearray):
            last += data
        else:
            pieces.append(bytearray(data))
    return b"".join(pieces) if size_bytes < LARGE_BYTES else await _in_turn(budget, lambda: b"".join(pieces))


async def _decode(exchange: Exchange, body: Body, budget: MemoryBudget) -> None:
    """Decode a compressed body, counted as it grows; what is long in a thread, of which one runs at a time: more would
    leave the loop no time.
    """
    decoded, held_bytes = bytearray(), 0
    try:
        pieces = body.decoded_pieces()
        some = [next(pieces, b"")]
        while any(some):
            for piece in some:
                budget.hold(exchange, len(piece))
                held_bytes += len(piece)
                decoded += piece
            del some, piece
            if held_bytes < PIECE_BYTES:
                some = [next(pieces, b"")]
                continue
            async with budget.large_bodies:
                some = await asyncio.to_thread(list, islice(pieces, _PIECES))
    except BadRequest as error:
        budget.release(exchange, held_bytes)
        body.keep_decoded(error)
        raise
    body.keep_decoded(bytes(decoded) if held_bytes < LARGE_BYTES else await _in_turn(budget, lambda: bytes(decoded)))


async def _in_turn(budget: MemoryBudget, work: Callable[[], T]) -> T:
    """Return `work()` on a large body. 64 MB take 50 ms of the loop: others are served before and after each."""
    async with budget.large_bodies:
        await asyncio.sleep(0)
        return work()


async def linger(payload: StreamReader) -> None:
    """Read what the client still sends, so that it can read the answer before the connection ends."""
    try:
        async with asyncio.timeout(LINGER_S):
            data = b"more"
            while data:
                async with asyncio.timeout(_LINGER_SILENCE_S):
                    data = await payload.readany()
    except (TimeoutError, RequestPayloadError):
        return
