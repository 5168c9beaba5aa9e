"""Answers of providers that answer by themselves."""

from __future__ import annotations

from llmproxy.body import iterate
from llmproxy.providers.own_answers import FrameStream, json_answer, stream_answer


async def test_frames_are_read_one_by_one_until_closed() -> None:
    assert [frame async for frame in iterate(FrameStream([b"a", b"bc"]))] == [b"a", b"bc"]
    frames = FrameStream([b"a", b"b"])
    assert await frames.read() == b"a"
    frames.close()
    frames.close()
    assert await frames.read() == b""


async def test_answers_say_what_they_are() -> None:
    whole, stream = json_answer(b"{}"), stream_answer([b"data: 1\n\n"])
    assert whole.headers["Content-Type"] == "application/json" and whole.length == 2
    assert stream.headers["Content-Type"].startswith("text/event-stream") and stream.stream is not None
    assert [frame async for frame in iterate(stream.stream)] == [b"data: 1\n\n"]
