from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from llmproxy.wire.whole_body import take_whole


def arrived(pieces: Sequence[bytes]) -> StreamReader:
    loop = asyncio.get_running_loop()
    payload = StreamReader(BaseProtocol(loop), 1024, loop=loop)
    for piece in pieces:
        payload.feed_data(piece)
    return payload


@pytest.mark.parametrize("pieces", [(), (b"whole",), (b"in ", b"three", b" pieces")])
async def test_a_body_is_taken_as_the_reader_gives_it(pieces: Sequence[bytes]) -> None:
    taken, read = arrived(pieces), arrived(pieces)
    taken.feed_eof()
    read.feed_eof()
    assert take_whole(taken) == read.read_nowait() == b"".join(pieces)
    assert (taken.at_eof(), await taken.readany()) == (True, b"")


def test_no_body_is_empty() -> None:
    assert take_whole(EMPTY_PAYLOAD) == b""


async def test_what_broke_a_body_is_raised() -> None:
    payload = arrived([b"some"])
    payload.set_exception(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        take_whole(payload)
