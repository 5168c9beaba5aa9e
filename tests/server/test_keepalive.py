"""A stream that says nothing gets comments, where they cannot hurt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from llmproxy.server import keepalive
from llmproxy.server.keepalive import Keepalive
from llmproxy.wire.sse import SSE as SSE_FRAMING
from tests.support import vendors
from tests.support.provider import Gate, Reply, Upstream
from tests.support.proxy import ASK, CHAT, Listening, provider

COMMENT = SSE_FRAMING.keepalive
SSE = (("Content-Type", "text/event-stream"),)
PLAIN = (("Content-Type", "application/json"),)
FRAME = b'data: {"n":1}\n\n'


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(vendors.answer) as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def silence_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "_SILENCE_S", 0.02)


async def test_comments_follow_each_other_until_the_end() -> None:
    comments: asyncio.Queue[bytes] = asyncio.Queue()
    alive = Keepalive(COMMENT, comments.put_nowait)
    assert [await comments.get() for _ in range(3)] == [COMMENT] * 3
    alive.stop()


async def test_a_stream_that_talks_gets_none() -> None:
    comments: asyncio.Queue[bytes] = asyncio.Queue()
    alive = Keepalive(COMMENT, comments.put_nowait)
    alive.wrote_s += 3600
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await comments.get()
    alive.stop()


def test_a_silent_stream_is_kept_alive_between_two_frames(upstream: Upstream) -> None:
    gate = Gate()
    upstream.next(Reply(headers=SSE, pieces=[FRAME, gate, b"data: [DONE]\n\n"], framing="chunked"))
    with Listening(provider(upstream)) as server:
        with server.client() as client:
            client.post(CHAT, ASK)
            head = client.read_head()
            seen = client.read_body_until(COMMENT)
            gate.open()
            while not seen.endswith(b"[DONE]\n\n"):
                seen += client.read_chunk(seen)
        assert head.status == 200
        assert seen.replace(COMMENT, b"") == FRAME + b"data: [DONE]\n\n"
        assert server.sent(server.wait_ended()) == FRAME + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("pieces", "headers", "framing"),
    [
        ((b'data: {"n":', b"1}\n\n"), SSE, "chunked"),
        ((b"{", b"}"), PLAIN, "chunked"),
        ((FRAME, FRAME), SSE, "length"),
        ((FRAME, FRAME), (*SSE, ("Content-Encoding", "x-own")), "chunked"),
    ],
    ids=["within a frame", "no event stream", "of a length", "compressed"],
)
def test_where_a_comment_would_break_something_there_is_none(
    upstream: Upstream, pieces: tuple[bytes, bytes], headers: tuple[tuple[str, str], ...], framing: str
) -> None:
    first, second = pieces
    gate = Gate()
    before = b": a comment\n\n" + FRAME if first.startswith(b"data") else b""
    upstream.next(Reply(headers=headers, pieces=[before + first, gate, second], framing=framing))  # type: ignore[arg-type]
    with Listening(provider(upstream)) as server, server.client() as client:
        client.post(CHAT, ASK)
        if headers != PLAIN:
            client.read_head()
            begun = before + first
            assert (client.read_exactly(len(begun)) if framing == "length" else client.read_chunk()) == begun
            client.pause(0.2)
        gate.open()
        if headers == PLAIN:
            assert client.read_answer().body == first + second
        elif framing == "length":
            assert client.read_exactly(len(second)) == second
        else:
            assert b"".join(client.read_chunks()) == second
