"""A stream that says nothing gets comments, where they cannot hurt."""

from __future__ import annotations

import asyncio
import re

import anthropic
import openai
import pytest
from google import genai

from llmproxy.server import keepalive
from llmproxy.server.keepalive import Keepalive
from llmproxy.server.request_handler import RequestHandler
from tests.support import vendors
from tests.support.provider import Gate, Reply, Upstream
from tests.support.proxy import ASK, CHAT, Listening, provider
from tests.support.strict_gemini import chunks_of, frame

COMMENT = b": keepalive\n"
SSE = (("Content-Type", "text/event-stream"),)
PLAIN = (("Content-Type", "application/json"),)
FRAME = b'data: {"n":1}\n\n'


@pytest.fixture(autouse=True)
def silence_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "_SILENCE_S", 0.02)


async def test_comments_follow_each_other_until_the_end() -> None:
    comments: asyncio.Queue[None] = asyncio.Queue()
    alive = Keepalive(lambda: comments.put_nowait(None))
    for _ in range(3):
        await comments.get()
    alive.stop()


async def test_a_stream_that_talks_gets_none() -> None:
    comments: asyncio.Queue[None] = asyncio.Queue()
    alive = Keepalive(lambda: comments.put_nowait(None))
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


LINES = {
    "no other lines": "",
    "ids": "id: 0\n",
    "retry times": "retry: 10\n",
    "all of them": "id: 7\nretry: 10\n: a comment\n",
}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Return a gate that opens once two keepalives were due."""
    gate = Gate()
    due = 0
    keep_alive = RequestHandler._keep_alive

    def counted(self: RequestHandler, *arguments: bytes) -> None:
        nonlocal due
        keep_alive(self, *arguments)
        due += 1
        if due >= 2:
            gate.open()

    monkeypatch.setattr(RequestHandler, "_keep_alive", counted)
    return gate


def interrupted(stream: list[bytes], lines: str, gate: Gate, end: bytes = b"\n") -> list[bytes | Gate]:
    """Return the stream with `lines` in each frame, line ends `end`, and a long silence after the first frame."""
    first, *rest = (lines.encode() + frame for frame in re.findall(rb".+?\n\n", b"".join(stream), re.DOTALL))
    return [first.replace(b"\n", end), gate, b"".join(rest).replace(b"\n", end)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_no_sdk_sees_that_a_stream_is_kept_alive(upstream: Upstream, gate: Gate, lines: str, end: bytes) -> None:
    pieces = interrupted(vendors.chat_frames("gpt-x", usage=True), lines, gate, end)
    upstream.next(Reply(headers=SSE, pieces=pieces, framing="chunked"))
    with Listening(provider(upstream)) as server:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="k", max_retries=0)
        with client, client.chat.completions.create(model="gpt-x", messages=[], stream=True) as chunks:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert (text, server.wait_ended().outcome) == (vendors.TEXT, "complete")


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_no_sdk_sees_it_where_events_have_names(upstream: Upstream, gate: Gate, lines: str) -> None:
    upstream.next(
        Reply(headers=SSE, pieces=interrupted(vendors.message_frames("gpt-x"), lines, gate), framing="chunked")
    )
    with Listening(provider(upstream, dialects=["messages"])) as server:
        client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.port}", api_key="k", max_retries=0)
        with client, client.messages.stream(model="gpt-x", max_tokens=9, messages=[]) as events:
            assert events.get_final_text() == vendors.TEXT


def test_google_genai_sees_it_no_more(upstream: Upstream, gate: Gate) -> None:
    """It takes a comment for an answer."""
    pieces = [frame(each) for each in chunks_of({"contents": [{}]}, "gemini-3")]
    upstream.next(Reply(headers=SSE, pieces=[pieces[0], gate, *pieces[1:]], framing="chunked"))
    with Listening(provider(upstream, dialects=["gemini"])) as server:
        client = genai.Client(api_key="k", http_options={"base_url": f"http://127.0.0.1:{server.port}"})
        chunks = client.models.generate_content_stream(model="main/gemini-3", contents="Hi")
        assert "".join(chunk.text or "" for chunk in chunks) == vendors.TEXT
        client.close()


def test_a_stream_of_an_unknown_call_gets_none(upstream: Upstream) -> None:
    """Some SDKs take a line that does not begin with `data: ` for data."""
    gate = Gate()
    upstream.next(Reply(headers=SSE, pieces=[FRAME, gate, FRAME], framing="chunked"))
    with Listening(provider(upstream)) as server, server.client() as client:
        client.post("/main/v1/odd:stream", ASK)
        client.read_head()
        assert client.read_chunk() == FRAME
        client.pause(0.2)
        gate.open()
        assert b"".join(client.read_chunks()) == FRAME


@pytest.mark.parametrize("cut", [b"\r\n\r", b"\n\r", b"\r\r"])
def test_the_end_of_a_line_that_is_cut_in_two_is_not_made_a_blank_line(upstream: Upstream, cut: bytes) -> None:
    gate = Gate()
    upstream.next(Reply(headers=SSE, pieces=[b"id: 1\r\ndata: 1" + cut, gate, b"\n"], framing="chunked"))
    with Listening(provider(upstream)) as server, server.client() as client:
        client.post(CHAT, ASK)
        client.read_head()
        client.read_chunk()
        client.pause(0.2)
        gate.open()
        assert b"".join(client.read_chunks()) == b"\n"
