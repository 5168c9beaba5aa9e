"""An answer becomes an entry only when it is worth keeping, and comes again as the same bytes or in the other form."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.caching.single_flight import SharedCall
from llmproxy.caching.stored_answers import PacedStream, answer_from_entry, entry_from_call
from llmproxy.dialects.chat import DIALECT as CHAT
from llmproxy.dialects.embeddings import DIALECT as EMBEDDINGS
from llmproxy.dialects.messages import DIALECT as MESSAGES
from llmproxy.dialects.reshape import Reshape
from llmproxy.dialects.responses import DIALECT as RESPONSES
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.wire.sse import SSE
from tests.caching.test_entry import entry
from tests.support import vendors
from tests.support.exchanges import ended

PLAIN = json.dumps(vendors.chat("m")).encode()
COUNTED = b"".join(vendors.chat_frames("m", usage=True))
UNCOUNTED = b"".join(vendors.chat_frames("m"))


def flown(*parts: bytes, headers: dict[str, str] | None = None, stream: bool = False, status: int = 200) -> SharedCall:
    """Return a finished shared call with an answer of these parts, a tenth of a second apart."""
    shared = SharedCall(ended(), 1 << 20, lambda: None)
    kind = "text/event-stream" if stream else "application/json"
    all_headers = Headers({"Content-Type": kind, **(headers or {})})
    shared.answer = Answer(status=status, headers=all_headers, framing=SSE if stream else None)
    shared.parts = list(parts)
    shared.times_s = [200.0 + number / 10 for number in range(len(parts))]
    return shared


def kept(shared: SharedCall, replay: Reshape = CHAT.reshape, *, token: bool = True, limit_bytes: int = 1 << 20) -> Any:
    exchange = ended(first_token_s=100.2 if token else None)
    return entry_from_call(shared, exchange, replay, counted=True, limit_bytes=limit_bytes)


def test_an_answer_is_kept_with_what_must_be_known_of_it() -> None:
    headers = {"Cache-Control": "no-cache", "x-request-id": "r", "Set-Cookie": "s"}
    result = kept(flown(PLAIN[:50], PLAIN[50:], headers=headers))
    assert result.body == PLAIN and result.status == 200 and not result.stream
    assert result.headers == [("Content-Type", "application/json"), ("Cache-Control", "no-cache")]
    assert (result.input_tokens, result.output_tokens, result.paces) == (1200, 85, [])
    assert result.spent_s == pytest.approx(100.1) and result.created_s == ended().began_s


def test_a_stream_is_kept_with_its_paces() -> None:
    result = kept(flown(b"data: 1\n\n", b"data: [DONE]\n\n", stream=True))
    assert result.stream and result.paces == [(0, 9), (100, 14)]


def test_tokens_that_nobody_reported_are_none() -> None:
    exchange = ended(summary=Summary(usage=Usage(input=3)))
    result = entry_from_call(flown(PLAIN), exchange, CHAT.reshape, counted=True, limit_bytes=1 << 20)
    assert result and (result.input_tokens, result.output_tokens) == (3, None)
    bare = entry_from_call(flown(PLAIN), ended(summary=Summary()), CHAT.reshape, counted=True, limit_bytes=1 << 20)
    assert bare and bare.input_tokens is None


def empty(**changes: Any) -> bytes:
    value: Any = vendors.chat("m")
    value["choices"][0]["message"] |= {"content": None, **changes}
    return json.dumps(value).encode()


EMPTY = [empty(), empty(content=""), empty(tool_calls=[]), b'{"choices":[]}', b'{"choices":null}', b"{}", b"[]", b""]
RUBBISH = [b"null", b"<html>Sign in</html>", PLAIN[:-1], b'{"error":{"message":"x"}}', b"\xff\xfe", b"[" * 5000]
SAID: list[dict[str, Any]] = [
    {"content": "a"},
    {"refusal": "no"},
    {"tool_calls": [{"id": "c"}]},
    {"reasoning_content": "r"},
]


@pytest.mark.parametrize("body", EMPTY + RUBBISH)
def test_a_reply_of_chat_that_says_nothing_is_not_kept(body: bytes) -> None:
    assert kept(flown(body)) is None


@pytest.mark.parametrize("text", SAID)
def test_a_reply_of_chat_that_says_something_is_kept(text: dict[str, Any]) -> None:
    assert kept(flown(empty(**text)))


@pytest.mark.parametrize(
    ("replay", "body"),
    [
        (RESPONSES.reshape, b'{"output":[]}'),
        (RESPONSES.reshape, b'{"output":[{"type":"message","content":[]}]}'),
        (RESPONSES.reshape, b'{"output":[{"type":"reasoning","summary":[]}]}'),
        *(
            (RESPONSES.reshape, json.dumps(vendors.response("m") | {"status": status}).encode())
            for status in ("failed", "cancelled", "queued", "in_progress")
        ),
        (MESSAGES.reshape, b'{"content":[]}'),
        (MESSAGES.reshape, b'{"content":[{"type":"text","text":""}]}'),
        (EMBEDDINGS.reshape, b'{"data":[]}'),
        (EMBEDDINGS.reshape, b"<html>Sign in</html>"),
        (EMBEDDINGS.reshape, b'{"error":{"message":"x"}}'),
        (EMBEDDINGS.reshape, json.dumps(vendors.embeddings("m")).encode()[:-1]),
    ],
)
def test_nor_is_one_of_the_others(replay: Reshape, body: bytes) -> None:
    assert kept(flown(body), replay) is None


@pytest.mark.parametrize(
    ("replay", "value"),
    [
        *((RESPONSES.reshape, vendors.response("m", tools)) for tools in (False, True)),
        *((MESSAGES.reshape, vendors.message("m", tools)) for tools in (False, True)),
        (EMBEDDINGS.reshape, vendors.embeddings("m")),
    ],
)
def test_good_ones_are(replay: Reshape, value: object) -> None:
    assert kept(flown(json.dumps(value).encode()), replay)


def test_a_stream_without_a_token_is_not_kept() -> None:
    assert kept(flown(COUNTED, stream=True), token=False) is None


def test_a_compressed_answer_is_kept_as_it_is_read() -> None:
    packed = gzip.compress(COUNTED)
    result = kept(flown(packed[:40], packed[40:], headers={"Content-Encoding": "gzip"}, stream=True))
    assert result.body == COUNTED and result.paces == []
    assert not any(name.lower() == "content-encoding" for name, _ in result.headers)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "x-unknown", "gzip, gzip"])
def test_one_that_cannot_be_read_is_not_kept(coding: str) -> None:
    assert kept(flown(PLAIN, headers={"Content-Encoding": coding})) is None


def test_one_that_is_too_long_once_it_is_read_is_not_kept() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert kept(flown(bomb, headers={"Content-Encoding": "gzip"}), limit_bytes=1 << 20) is None


@pytest.mark.parametrize(
    ("was", "stream", "counted"),
    [(PLAIN, False, True), (PLAIN, False, False), (COUNTED, True, True), (UNCOUNTED, True, False)],
)
def test_the_same_form_is_the_same_bytes(was: bytes, stream: bool, counted: bool) -> None:
    answer = answer_from_entry(entry(stream=stream, counted=counted, body=was), CHAT, stream, counted)
    assert answer and (answer.body, answer.length, answer.stream) == (was, len(was), None)


def test_a_reply_serves_streams_and_a_counted_stream_serves_all() -> None:
    whole = entry(stream=False, body=PLAIN, headers=[("Content-Type", "application/json")])
    for counted in (True, False):
        answer = answer_from_entry(whole, CHAT, True, counted)
        assert answer and answer.framing and (b'"usage":{' in answer.body) == counted
    message = entry(stream=True, counted=True, body=COUNTED)
    plain = answer_from_entry(message, CHAT, False, False)
    assert plain and json.loads(plain.body)["choices"][0]["message"]["content"] == vendors.TEXT
    assert plain.headers["Content-Type"] == "application/json"
    without = answer_from_entry(message, CHAT, True, False)
    assert without and without.framing and b'"usage":{' not in without.body.replace(b" ", b"")


def test_a_stream_that_does_not_tell_its_usage_serves_no_others() -> None:
    message = entry(stream=True, counted=False, body=UNCOUNTED)
    assert answer_from_entry(message, CHAT, False, False) is None
    assert answer_from_entry(message, CHAT, True, True) is None


@pytest.mark.parametrize("body", [b"", b"x", b"data: {\n\n", b"data: {}\n\n", COUNTED[:400], b"data: " + b"[" * 9000])
@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES, EMBEDDINGS])
def test_what_cannot_be_put_so_is_none(dialect: Any, body: bytes) -> None:
    assert answer_from_entry(entry(stream=True, counted=True, body=body), dialect, False, False) is None
    assert answer_from_entry(entry(stream=False, body=body), dialect, True, True) is None


async def test_paced_gives_each_part_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    paced = PacedStream(b"aabbbcd", [(0, 2), (100_000, 3), (300_000, 1), (300_000, 1)])
    assert [await paced.read() for _ in range(5)] == [b"aa", b"bbb", b"c", b"d", b""]
    assert [round(each, -1) for each in slept] == [100, 300, 300]
    paced.close()


async def test_paced_gives_everything_of_a_body_of_another_length() -> None:
    for paces in ([], [(0, 2)], [(0, 50), (0, 50)]):
        paced = PacedStream(b"abcdef", paces)
        got = b""
        while data := await paced.read():
            got += data
        assert got == b"abcdef"
