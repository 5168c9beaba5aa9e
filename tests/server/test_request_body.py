"""Request bodies: what is held, what passes through, what is too much, too slow or broken."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import TransferEncodingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError

from llmproxy.body import Body, StreamedBody
from llmproxy.errors import BadRequest, Overloaded, ProxyError
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.server.request_body import RequestStream, read_body
from llmproxy.wire import compression
from llmproxy.wire.compression import compress
from tests.support.exchanges import new_exchange
from tests.support.loop_clock import LoopClock
from tests.support.proxy import limited
from tests.support.waiting import until_async

CHAT, FILES, UNKNOWN = "/v1/chat/completions", "/v1/files", "/v1/unheard_of"
RAW = b'{"model": "m", "stream": true, "messages": []}'
LIMIT = 1000


class Arriving:
    """A request whose body comes as the test sends it."""

    def __init__(
        self, path: str = CHAT, *, length: int | None = None, chunked: bool = False, encoding: str = ""
    ) -> None:
        self.exchange = new_exchange(path)
        loop = asyncio.get_running_loop()
        self.payload = StreamReader(BaseProtocol(loop), 65536, loop=loop)
        self.payload._protocol.transport = asyncio.Transport()
        self.budget = MemoryBudget(100_000)
        self.went_ahead = 0
        if length is not None:
            self.exchange.headers["Content-Length"] = str(length)
        if chunked:
            self.exchange.headers["Transfer-Encoding"] = "chunked"
        if encoding:
            self.exchange.headers["Content-Encoding"] = encoding

    def send(self, *pieces: bytes, end: bool = True) -> Arriving:
        for piece in pieces:
            self.payload.feed_data(piece)
        if end:
            self.payload.feed_eof()
        return self

    def holds(self, size_bytes: int) -> bool:
        return self.budget.used_bytes == size_bytes

    def go_ahead(self) -> None:
        self.went_ahead += 1

    async def read(self, *, routed: bool = True, timeout_s: float = 10.0, total_s: float | None = None) -> Exchange:
        limits = limited(
            max_body_size=LIMIT,
            max_upload_size=2 * LIMIT,
            body_timeout_s=timeout_s,
            body_total_timeout_s=total_s,
        )
        await read_body(self.exchange, self.payload, limits, self.budget, self.go_ahead, routed=routed)
        return self.exchange


async def refused(arriving: Arriving, *, timeout_s: float = 10.0) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        await arriving.read(timeout_s=timeout_s)
    return caught.value


async def passed(exchange: Exchange) -> bytes:
    """Return all that comes through a body that passes through."""
    assert isinstance(exchange.body, StreamedBody)
    parts = []
    while data := await exchange.body.stream.read():
        parts.append(data)
    return b"".join(parts)


async def test_a_call_that_names_a_model_has_its_body_held_and_read() -> None:
    exchange = await Arriving(length=len(RAW)).send(RAW).read()

    assert exchange.held.raw == RAW
    assert (exchange.model, exchange.stream) == ("m", True)


@pytest.mark.parametrize("length", [len(RAW), None])
async def test_a_body_in_pieces_is_put_together(length: int | None) -> None:
    arriving = Arriving(length=length, chunked=length is None)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(arriving.read())
        for start in range(0, len(RAW), 7):
            arriving.send(RAW[start : start + 7], end=False)
            await asyncio.sleep(0)
        arriving.send()

    assert reading.result().held.raw == RAW
    assert arriving.budget.used_bytes == reading.result().held_bytes == len(RAW)


@pytest.mark.parametrize(
    ("raw", "model", "stream"),
    [
        (b"not json at all \xff", None, False),
        (b"[1, 2]", None, False),
        (b'{"model": 5, "stream": "true"}', None, False),
        (b'{"stream": false, "model": "\\u006d"}', "m", False),
        (b"", None, False),
    ],
)
async def test_a_body_that_names_no_model_is_held_all_the_same(raw: bytes, model: str | None, stream: bool) -> None:
    exchange = await Arriving(length=len(raw)).send(*([raw] if raw else [])).read()

    assert exchange.held.raw == raw
    assert (exchange.model, exchange.stream) == (model, stream)


@pytest.mark.parametrize("path", [FILES, UNKNOWN])
@pytest.mark.parametrize("length", [4, None])
async def test_other_bodies_pass_through_unread(path: str, length: int | None) -> None:
    arriving = Arriving(path, length=length, chunked=length is None).send(b"ab", b"\0\xff")

    exchange = await arriving.read()

    assert isinstance(exchange.body, StreamedBody) and exchange.body.length == length
    assert await passed(exchange) == b"ab\0\xff"
    assert arriving.budget.used_bytes == 0


@pytest.mark.parametrize(("length", "body"), [(None, None), (0, b"")])
@pytest.mark.parametrize("path", [CHAT, FILES])
async def test_no_body_is_none_and_an_empty_one_is_empty(path: str, length: int | None, body: bytes | None) -> None:
    arriving = Arriving(path, length=length)
    arriving.payload = EMPTY_PAYLOAD

    exchange = await arriving.read()

    assert (exchange.body.raw if isinstance(exchange.body, Body) else exchange.body) == body
    assert arriving.went_ahead == 0


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("path", "limit"), [(CHAT, LIMIT), (FILES, 2 * LIMIT)])
async def test_the_limit_is_exact_whether_the_length_is_declared_or_not(path: str, limit: int, declared: bool) -> None:
    fits = Arriving(path, length=limit if declared else None, chunked=not declared)
    exchange = await fits.send(b"x" * limit).read()
    assert len(exchange.body.raw if isinstance(exchange.body, Body) else await passed(exchange)) == limit

    over = Arriving(path, length=limit + 1 if declared else None, chunked=not declared).send(b"x" * (limit + 1))
    with pytest.raises(BadRequest) as caught:
        await passed(await over.read())
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")


async def test_a_declared_length_beyond_the_limit_is_refused_before_anything_is_read_or_asked_for() -> None:
    for path, length in ((CHAT, LIMIT + 1), (FILES, 2 * LIMIT + 1)):
        arriving = Arriving(path, length=length)

        assert (await refused(arriving)).status == 413

        assert (arriving.went_ahead, arriving.budget.used_bytes) == (0, 0)


async def test_an_endless_body_is_refused_when_it_passes_the_limit() -> None:
    arriving = Arriving(chunked=True)
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(refused(arriving))
        while not failing.done():
            arriving.send(b"x" * 100, end=False)
            await asyncio.sleep(0)

    assert failing.result().status == 413
    assert arriving.budget.used_bytes <= LIMIT


async def test_a_decoded_body_has_the_same_limit() -> None:
    packed = compress(b'{"model": "m", "x": "' + b"x" * LIMIT + b'"}', "gzip")
    assert len(packed) < LIMIT

    assert (await refused(Arriving(length=len(packed), encoding="gzip").send(packed))).status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("piece_bytes", [7, 1 << 20])
async def test_a_compressed_body_counts_as_it_came_and_as_it_is_decoded(
    encoding: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "PIECE_BYTES", piece_bytes)
    packed = compress(RAW, encoding)
    arriving = Arriving(length=len(packed), encoding=encoding).send(packed)

    exchange = await arriving.read()

    assert exchange.held.decoded == RAW
    assert arriving.budget.used_bytes == exchange.held_bytes == len(packed) + len(RAW)


@pytest.mark.parametrize("routed", [True, False])
async def test_what_unpacks_to_more_than_there_is_room_for_is_overload(routed: bool) -> None:
    packed = compress(RAW.ljust(LIMIT), "gzip")
    arriving = Arriving(length=len(packed), encoding="gzip").send(packed)
    arriving.budget.limit_bytes = LIMIT + len(packed) - 1

    with pytest.raises(Overloaded):
        await arriving.read(routed=routed)

    assert arriving.budget.used_bytes == len(packed)


async def test_what_unpacks_to_more_than_a_body_may_be_holds_no_more_than_it_is() -> None:
    packed = compress(RAW.ljust(LIMIT + 1), "gzip")
    arriving = Arriving(length=len(packed), encoding="gzip").send(packed)

    exchange = await arriving.read(routed=False)

    assert arriving.budget.used_bytes == len(packed)
    with pytest.raises(BadRequest, match="larger than"):
        _ = exchange.held.decoded


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", " GZIP ", "identity", "x-gzip"])
async def test_compressed_bodies_are_read_decoded_and_held_as_they_came(encoding: str) -> None:
    packed = compress(RAW, encoding.strip().lower())

    exchange = await Arriving(length=len(packed), encoding=encoding).send(packed).read()

    assert (exchange.held.raw, exchange.model, exchange.stream) == (packed, "m", True)


@pytest.mark.parametrize(
    ("encoding", "raw", "status"), [("br", b"?", 415), ("gzip", b"no gzip", 400), ("zstd", b"no zstd", 400)]
)
async def test_what_cannot_be_decoded_is_refused_only_where_the_model_decides(
    encoding: str, raw: bytes, status: int
) -> None:
    assert (await refused(Arriving(length=len(raw), encoding=encoding).send(raw))).status == status

    exchange = await Arriving(length=len(raw), encoding=encoding).send(raw).read(routed=False)
    assert (exchange.held.raw, exchange.held.encoding, exchange.model) == (raw, encoding, None)


@pytest.mark.parametrize("length", [len(RAW), None])
async def test_what_would_be_held_is_refused_when_too_much_is_held_already(length: int | None) -> None:
    arriving = Arriving(length=length, chunked=length is None).send(RAW)
    others = arriving.budget.limit_bytes - len(RAW) + 1
    arriving.budget.count(others)

    error = await refused(arriving)

    assert isinstance(error, Overloaded)
    assert arriving.budget.used_bytes == others


@pytest.mark.parametrize("length", [500, None])
async def test_bytes_are_counted_as_they_arrive_and_not_as_they_are_declared(length: int | None) -> None:
    arriving = Arriving(length=length, chunked=length is None)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(arriving.read())
        for count in range(1, 4):
            arriving.send(b"xy", end=False)
            await until_async(partial(arriving.holds, 2 * count), "the bytes to be counted")
        reading.cancel()


async def test_a_length_that_could_never_be_held_is_a_413_at_once() -> None:
    arriving = Arriving(length=LIMIT)
    arriving.budget.limit_bytes = LIMIT - 1

    assert (await refused(arriving)).status == 413


@pytest.mark.parametrize("path", [CHAT, FILES])
async def test_a_body_that_trickles_is_given_up_after_its_total_time(path: str) -> None:
    arriving, clock = Arriving(path, chunked=True), LoopClock()

    async def trickle() -> None:
        while True:
            arriving.send(b"x", end=False)
            await clock.move(5.0)

    async with asyncio.TaskGroup() as group:
        trickling = group.create_task(trickle())
        with pytest.raises(BadRequest) as caught:
            await passed(await arriving.read(total_s=60.0))
        trickling.cancel()

    assert caught.value.status == 408 and "server.body_total_timeout" in caught.value.message


async def test_time_in_which_nobody_asks_for_the_body_is_not_the_clients() -> None:
    clock = LoopClock()
    exchange = await Arriving(FILES, chunked=True).read(total_s=60.0)
    assert isinstance(exchange.body, StreamedBody)
    stream = exchange.body.stream
    assert isinstance(stream, RequestStream)
    await clock.move(3600.0)
    stream._payload.feed_data(b"x")
    stream._payload.feed_eof()

    assert await passed(exchange) == b"x"


async def test_a_body_that_stands_still_is_a_408() -> None:
    error = await refused(Arriving(length=10).send(b"x", end=False), timeout_s=0.05)

    assert (error.status, error.code) == (408, "request_timeout")


async def test_an_upload_that_stands_still_is_a_408_for_who_reads_it() -> None:
    exchange = await Arriving(FILES, length=10).send(b"x", end=False).read(timeout_s=0.05)

    with pytest.raises(BadRequest) as caught:
        await passed(exchange)

    assert caught.value.status == 408


async def test_a_slow_body_that_keeps_moving_is_read() -> None:
    arriving, clock = Arriving(chunked=True), LoopClock()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(arriving.read(timeout_s=100.0))
        for start in range(0, len(RAW), 10):
            await clock.move(70.0)
            arriving.send(RAW[start : start + 10], end=False)
        arriving.send()

    assert reading.result().held.raw == RAW


@pytest.mark.parametrize("fault", [RequestPayloadError("bad"), TransferEncodingError("bad")])
@pytest.mark.parametrize("path", [CHAT, FILES])
async def test_a_body_that_is_wrongly_framed_is_a_400(path: str, fault: Exception) -> None:
    arriving = Arriving(path, chunked=True).send(b"x", end=False)
    arriving.payload.set_exception(fault)

    with pytest.raises(BadRequest) as caught:
        await passed(await arriving.read())

    assert (caught.value.status, caught.value.code) == (400, "invalid_framing")


@pytest.mark.parametrize("path", [CHAT, FILES])
async def test_the_client_is_told_to_go_ahead_once_and_only_when_its_body_is_waited_for(path: str) -> None:
    arriving = Arriving(path, length=2 * 100)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read_all(arriving))
        for _ in range(2):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert arriving.went_ahead == 1
            arriving.send(b"x" * 100, end=False)
        arriving.send()
    assert (len(reading.result()), arriving.went_ahead) == (200, 1)

    here = Arriving(path, length=4).send(b"{}  ")
    await _read_all(here)
    assert here.went_ahead == 0


async def _read_all(arriving: Arriving) -> bytes:
    exchange = await arriving.read()
    return exchange.body.raw if isinstance(exchange.body, Body) else await passed(exchange)


async def test_without_limits_everything_is_read() -> None:
    limits = limited(max_body_size=None, max_upload_size=None, body_total_timeout_s=None)
    raw = json.dumps({"model": "m", "x": "x" * 50_000}).encode()
    for path in (CHAT, FILES):
        arriving = Arriving(path, length=len(raw)).send(raw)
        await read_body(arriving.exchange, arriving.payload, limits, arriving.budget, arriving.go_ahead, routed=True)
        body = arriving.exchange.body
        assert (body.raw if isinstance(body, Body) else await passed(arriving.exchange)) == raw
