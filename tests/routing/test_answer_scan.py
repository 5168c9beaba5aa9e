"""Streams that somebody looks at before the client gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.routing.answer_scan import Readable, ScannedStream
from llmproxy.wire.compression import compress
from tests.support.pieces import Pieces


def readable(encoding: str = "") -> Readable:
    return Readable(Answer(status=200, headers=Headers({"Content-Encoding": encoding} if encoding else {})))


async def collect(stream: ScannedStream) -> list[bytes]:
    pieces = []
    while data := await stream.read():
        pieces.append(data)
    return pieces


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
async def test_names_are_bound_before_the_client_gets_them_and_no_byte_changes(encoding: str) -> None:
    plain = b"one id_1 two id_2 three"
    whole = compress(plain, encoding) if encoding else plain
    seen: list[bytes] = []
    bound: list[str] = []

    def find(data: bytes) -> list[str]:
        seen.append(data)
        return ["name"] if b"o" in data else []

    async def bind(names: Sequence[str]) -> None:
        bound.extend(names)

    pieces = Pieces(*(whole[at : at + 5] for at in range(0, len(whole), 5)))
    stream = ScannedStream(pieces, readable(encoding), find, bind)
    assert b"".join(await collect(stream)) == whole
    assert b"".join(seen) == plain and bound
    stream.close()
    assert pieces.closed == 1


async def test_a_read_that_is_cancelled_while_names_are_bound_has_lost_nothing() -> None:
    entered, calls = asyncio.Event(), 0

    async def bind(names: Sequence[str]) -> None:
        nonlocal calls
        calls += 1
        entered.set()
        if calls == 1:
            await asyncio.Event().wait()

    stream = ScannedStream(Pieces(b"first", b"second"), readable(), lambda data: [data.decode()], bind)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stream.read()
    assert entered.is_set()
    assert await collect(stream) == [b"first", b"second"]


@pytest.mark.parametrize("encoding", ["gzip", "unheard-of"])
async def test_what_cannot_be_decoded_passes_unread(encoding: str) -> None:
    async def bind(names: Sequence[str]) -> None:
        raise AssertionError("nothing was read")

    stream = ScannedStream(Pieces(b"no", b"thing"), readable(encoding), lambda data: ["x"] if data else [], bind)
    assert await collect(stream) == [b"no", b"thing"]
