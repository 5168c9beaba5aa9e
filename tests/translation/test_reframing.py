"""Streams in the framing that their client asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.dialects import catalog
from llmproxy.errors import BrokenStream
from llmproxy.translation.reframing import reframed
from llmproxy.wire.json_array import JSON_ARRAY
from llmproxy.wire.sse import BLANK_LINES, SSE
from tests.support.exchanges import new_exchange

PATH = "/v1beta/models/m:streamGenerateContent"


class Parts:
    """A stream of parts; an exception among them is raised."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self._parts = list(parts)
        self.closed = False

    async def read(self) -> bytes:
        part = self._parts.pop(0) if self._parts else b""
        if isinstance(part, Exception):
            raise part
        return part

    def close(self) -> None:
        self.closed = True


def made(*parts: bytes | Exception, query: str | None = None, path: str = PATH, **more: Any) -> tuple[Answer, Parts]:
    asked = new_exchange()
    asked.endpoint, asked.query = catalog.find("POST", path), query
    stream = Parts(*parts)
    framing = asked.endpoint.dialect.framing if asked.endpoint else SSE
    fields: dict[str, Any] = {"status": 200, "framing": framing, "body": b"", "length": 9} | more
    headers = Headers({"Content-Type": "text/event-stream", "Content-Length": "9"})
    return reframed(asked, Answer(headers=headers, stream=stream, **fields)), stream


async def read(answer: Answer) -> bytes:
    assert answer.stream is not None
    data = b""
    while part := await answer.stream.read():
        data += part
    return data


async def test_events_become_an_array() -> None:
    answer, stream = made(b"{}\n\n: a comment\n\nda", b'ta: {"b":1}', b"\n\n", body=b"data: ")
    assert (answer.framing, answer.length, answer.body) == (JSON_ARRAY, None, b"")
    assert dict(answer.headers) == {"Content-Type": "application/json; charset=UTF-8"}
    assert json.loads(await read(answer)) == [{}, {"b": 1}]
    assert answer.stream is not None and await answer.stream.read() == b""
    answer.close()
    assert stream.closed


@pytest.mark.parametrize(
    "more",
    [
        {"query": "key=1&alt=sse"},
        {"path": "/v1/chat/completions"},
        {"framing": None},
        {"framing": JSON_ARRAY},
        {"status": 500},
    ],
)
def test_what_is_as_it_was_asked_for_stays(more: dict[str, Any]) -> None:
    answer, stream = made(b"data: {}\n\n", **more)
    expected = more.get("framing", BLANK_LINES if "path" not in more else SSE)
    assert answer.stream is stream and answer.framing is expected and answer.length == 9


async def test_a_stream_that_breaks_ends_the_array_with_its_error() -> None:
    frames = b'data: {"more":1}\n\ndata: {"error":{"code":502}}\n\n'
    answer, _ = made(b"data: {}\n\n", BrokenStream("cut", frames=frames))
    assert answer.stream is not None
    written = await answer.stream.read()
    with pytest.raises(BrokenStream) as broken:
        await answer.stream.read()
    assert json.loads(written + broken.value.frames) == [{}, {"more": 1}, {"error": {"code": 502}}]
