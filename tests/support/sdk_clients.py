"""The official SDKs over a transport that answers with given bytes: what they accept is what a dialect must write."""

from __future__ import annotations

from collections.abc import Sequence

import anthropic
import httpx2
import openai

from llmproxy.dialects.codec import Codec
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Reply, Request, Text
from llmproxy.dialects.stream_events import Close, Delta, Done, Event, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from llmproxy.wire.json import write_value

USAGE = Usage(input=11, output=2, cache_read=4, cache_write=1, reasoning=0)
STATUSES = [400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504, 529]


def plain_answer(codec: Codec, usage: Usage | None = USAGE) -> bytes:
    """Return the whole answer `stub response` as `codec` writes it."""
    reply = Reply(
        id="7", model="stub-1", content=[Text(text="stub response")], stop="end", usage=usage, created_s=1_700_000_000
    )
    request = Request(dialect=codec.name, model="stub-1")
    return write_value(codec.encode_response(reply, request, codec.context(reply.dialect, Losses())))


def stream_frames(codec: Codec, usage: Usage | None = USAGE, *, include_usage: bool = True) -> list[bytes]:
    """Return the frames of the same as a stream in two deltas."""
    encoder = codec.stream_encoder(
        Request(dialect=codec.name, model="stub-1", stream=True, include_usage=include_usage)
    )
    events: list[Event] = [
        Start(id="7", model="stub-1", created_s=1_700_000_000, usage=usage),
        Open(index=0, block=Text(text="")),
        Delta(index=0, text="stub "),
        Delta(index=0, text="response"),
        Close(index=0),
        Stop(reason="end"),
        *([UsageUpdate(usage=usage)] if usage is not None else []),
        Done(),
    ]
    frames = b"".join(encoder.encode([event], Losses()) for event in events).split(b"\n\n")
    return [frame + b"\n\n" for frame in frames if frame]


def openai_client(body: bytes | Sequence[bytes], status: int = 200) -> openai.OpenAI:
    """Return a client whose every call is answered with `body`: a list is an event stream."""
    return openai.OpenAI(
        api_key="key",
        max_retries=0,
        http_client=httpx2.Client(transport=_transport(body, status)),
        base_url="http://test/v1",
    )


def anthropic_client(body: bytes | Sequence[bytes], status: int = 200) -> anthropic.Anthropic:
    """Return a client whose every call is answered with `body`: a list is an event stream."""
    return anthropic.Anthropic(
        api_key="key",
        max_retries=0,
        http_client=httpx2.Client(transport=_transport(body, status)),
        base_url="http://test",
    )


def _transport(body: bytes | Sequence[bytes], status: int) -> httpx2.MockTransport:
    kind = "application/json" if isinstance(body, bytes) else "text/event-stream"
    content = body if isinstance(body, bytes) else b"".join(body)
    headers = {"content-type": kind, "request-id": "req_1"}
    return httpx2.MockTransport(lambda request: httpx2.Response(status, headers=headers, content=content))
