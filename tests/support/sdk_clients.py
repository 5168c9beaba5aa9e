"""The official SDKs over a transport that answers with given bytes: what they accept is what a dialect must write."""

from __future__ import annotations

from collections.abc import Sequence

import anthropic
import httpx2
import openai

from llmproxy.dialects.dialect import Canned
from llmproxy.dialects.model import Usage

CANNED = Canned(
    id="7",
    model="stub-1",
    created_s=1_700_000_000,
    pieces=("stub ", "response"),
    usage=Usage(input=11, output=2, cache_read=4, cache_write=1, reasoning=0),
    include_usage=True,
)
UNCOUNTED = Canned(id="8", model="stub-1", created_s=1_700_000_000, pieces=("a",), usage=Usage(), include_usage=True)
STATUSES = [400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504, 529]


def openai_client(body: bytes | Sequence[bytes], status: int = 200) -> openai.OpenAI:
    """A client whose every call is answered with `body`: a list is an event stream."""
    return openai.OpenAI(
        api_key="key",
        max_retries=0,
        http_client=httpx2.Client(transport=_transport(body, status)),
        base_url="http://test/v1",
    )


def anthropic_client(body: bytes | Sequence[bytes], status: int = 200) -> anthropic.Anthropic:
    """A client whose every call is answered with `body`: a list is an event stream."""
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
