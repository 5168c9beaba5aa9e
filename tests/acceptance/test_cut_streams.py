"""Streams in frames of their own that break off anywhere, through the running program: relayed, in another form, and
translated. A client never gets a clean end, and nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import strict_gemini, vendors
from tests.support.converse_types import ConverseStreamError, converse_events
from tests.support.event_messages import chunk_of, messages_of
from tests.support.gemini_turns import gemini_chunks
from tests.support.program import Program
from tests.support.provider import Pairs, Reply, Upstream
from tests.support.raw_http import Cut
from tests.support.scripted_turns import SpokenCall, SpokenTurn, message_frames
from tests.support.scripted_turns import converse_events as spoken_events

TURN = SpokenTurn(text="Grüße 🙂 aus Łódź", calls=(SpokenCall(id="call_1", name="clock", input={"zone": "UTC"}),))
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ASK: Any = {
    "converse": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    "messages": {"model": f"bedrock/{CLAUDE}", "max_tokens": 9, "stream": True},
    "invoke": {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9},
}
for _name in ("messages", "invoke"):
    ASK[_name]["messages"] = [{"role": "user", "content": "Hi"}]
_ARRAY = strict_gemini.streamed(gemini_chunks("m", TURN, shown=False, ids=True), sse=False)
_SSE = strict_gemini.streamed(gemini_chunks("m", TURN, shown=False, ids=True))
_CHUNKS = [chunk_of(frame.partition(b"data: ")[2].strip()) for frame in message_frames("m", TURN)]


def _joined(reply: Reply) -> bytes:
    return b"".join(piece for piece in reply.pieces if isinstance(piece, bytes))


@dataclass(frozen=True, slots=True)
class Way:
    """What a client calls, with what, and the stream that comes for it."""

    path: str
    ask: str
    headers: Pairs
    stream: bytes

    def ends_well(self, body: bytes) -> bool:
        """Return whether a body that came whole says that the answer is whole, as the client's SDK reads it."""
        if self.ask == "gemini":
            return not any("error" in each for each in json.loads(body))
        if self.ask == "messages":
            return b"event: error" not in body
        try:
            list(converse_events(body))
        except ConverseStreamError:
            return False
        return True


_EVENTS = messages_of(spoken_events(TURN))
WAYS = {
    "converse": Way("/model/aws%2Fm/converse-stream", "converse", vendors.EVENTS, _EVENTS),
    "an array": Way("/v1beta/models/google%2Fm:streamGenerateContent", "gemini", strict_gemini.ARRAY, _joined(_ARRAY)),
    "converse to an array": Way("/v1beta/models/aws%2Fm:streamGenerateContent", "gemini", vendors.EVENTS, _EVENTS),
    "gemini to converse": Way("/model/google%2Fm/converse-stream", "converse", vendors.SSE, _joined(_SSE)),
    "invoke": Way(f"/model/{CLAUDE}/invoke-with-response-stream", "invoke", vendors.EVENTS, b"".join(_CHUNKS)),
    "invoke to messages": Way("/v1/messages", "messages", vendors.EVENTS, b"".join(_CHUNKS)),
}


@pytest.fixture(scope="module")
def program(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    base = lasting_upstream.url
    config = f"""
providers:
  - {{name: aws, type: openai-compatible, base_url: "{base}/v1", dialects: [converse], api_key: k}}
  - {{name: google, type: openai-compatible, base_url: "{base}/v1", dialects: [gemini], api_key: k}}
  - {{name: bedrock, type: bedrock, base_url: "{base}", region: eu-west-3, api_key: k}}
"""
    with Program(tmp_path_factory.mktemp("cut"), "serve", config=config) as program:
        yield program


@pytest.mark.parametrize("name", WAYS)
def test_a_stream_that_breaks_off_at_any_byte_never_ends_well(
    program: Program, upstream: Upstream, name: str, request: pytest.FixtureRequest
) -> None:
    way, step = WAYS[name], 1 if request.config.getoption("--long") else 61
    whole = fetch(program, upstream, way, len(way.stream))
    assert whole is not None and way.ends_well(whole)
    for cut in range(1, len(way.stream), step):
        body = fetch(program, upstream, way, cut)
        assert body is None or not way.ends_well(body), cut
        assert upstream.requests.pop() and not upstream.requests


def fetch(program: Program, upstream: Upstream, way: Way, cut: int) -> bytes | None:
    """Return the body that comes for a stream that breaks off; None for an answer that is cut off or is an error."""
    upstream.forget()
    end: Any = "cut" if cut < len(way.stream) else "keep"
    upstream.next(Reply(headers=way.headers, pieces=[way.stream[:cut]], framing="chunked", end=end))
    with program.client() as client:
        client.post(way.path, ASK[way.ask], "Connection: close")
        head = client.read_head()
        try:
            body = client.read_body(head).body
        except Cut:
            return None
    if head.status != 200:
        assert head.status >= 500 and json.loads(body), body
        return None
    return body
