"""Answers of providers that answer by themselves: a whole one, and a stream of frames in memory."""

from __future__ import annotations

from collections.abc import Iterable

from llmproxy.answer import Answer, Headers
from llmproxy.wire.framing import Framing
from llmproxy.wire.sse import SSE


class FrameStream:
    """A stream of frames in memory; each read returns one."""

    def __init__(self, frames: Iterable[bytes]) -> None:
        self._frames = iter(frames)

    async def read(self) -> bytes:
        return next(self._frames, b"")

    def close(self) -> None:
        self._frames = iter(())


def json_answer(body: bytes) -> Answer:
    """Return a whole JSON answer."""
    return Answer(status=200, headers=Headers([("Content-Type", "application/json")]), body=body, length=len(body))


def stream_answer(frames: Iterable[bytes], framing: Framing = SSE) -> Answer:
    """Return a stream; `frames` are whole frames of `framing`."""
    headers = Headers([("Content-Type", framing.content_type), ("Cache-Control", "no-cache")])
    return Answer(status=200, headers=headers, stream=FrameStream(frames), framing=framing)
