"""Streams of streamGenerateContent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.gemini.stream_decode import GeminiStreamDecoder
from llmproxy.dialects.model import Refusal, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.stream_events import Cite, Done, Event, Fail, Lost, Stop
from tests.support.strict_gemini import SIGNATURE, chunk, frame

CALL = {"functionCall": {"name": "look", "args": {"a": [1]}}, "thoughtSignature": SIGNATURE}
USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
CHUNKS = [
    chunk("g", {"text": "Let ", "thought": True}, usageMetadata={"promptTokenCount": 3, "totalTokenCount": 3}),
    chunk("g", {"text": "me look.", "thought": True, "thoughtSignature": SIGNATURE}),
    chunk("g", {"text": "Grüß "}, {"text": "Gott"}),
    chunk("g", CALL, CALL),
    chunk("g", {"text": ""}, finish="STOP", usageMetadata=USAGE),
]


def sse(*chunks: Any) -> bytes:
    return b"".join(map(frame, chunks))


def array(*chunks: Any) -> bytes:
    return json.dumps(chunks, indent=2, ensure_ascii=False).encode()


def read(data: bytes, size: int = 1 << 20) -> list[Event]:
    decoder = GeminiStreamDecoder()
    events = [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]
    return [*events, *decoder.close()]


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize("data", [sse(*CHUNKS), array(*CHUNKS)], ids=["events", "array"])
def test_both_framings_are_read_wherever_they_are_cut(data: bytes, size: int) -> None:
    events = read(data, size)
    reply = collect(events)
    assert isinstance(reply, Reply) and isinstance(events[-1], Done)
    thought, text, first, second = reply.content
    assert isinstance(thought, Thinking) and (thought.text, thought.signature) == ("Let me look.", SIGNATURE)
    assert isinstance(text, Text) and text.text == "Grüß Gott"
    assert isinstance(first, ToolCall) and isinstance(second, ToolCall) and first.id != second.id
    assert (first.arguments, first.signature) == ('{"a":[1]}', {"thoughtSignature": SIGNATURE})
    assert (reply.stop, reply.id, reply.model) == ("tool_calls", "gemini-fake", "g")
    assert reply.usage is not None and (reply.usage.input, reply.usage.output) == (3, 2)


@pytest.mark.parametrize("data", [sse(*CHUNKS[:3]), array(*CHUNKS)[:-1], array(*CHUNKS[:3]), b"", b"[", b"[]"])
def test_one_that_breaks_off_fails(data: bytes) -> None:
    assert isinstance(read(data)[-1], Fail)


def test_older_models_give_a_reason_with_every_chunk() -> None:
    parts = [chunk("g", {"text": word}, finish="STOP") for word in ("a", "b")]
    events = read(sse(*parts))
    reply = collect(events)
    assert isinstance(reply, Reply) and [block.text for block in reply.content if isinstance(block, Text)] == ["ab"]
    assert [type(event) for event in events].count(Stop) == 1


def test_a_blocked_prompt_is_a_refusal() -> None:
    reply = collect(read(sse({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "No."}})))
    assert isinstance(reply, Reply) and (reply.stop, reply.stop_word) == ("refusal", "SAFETY")
    assert [block.text for block in reply.content if isinstance(block, Refusal)] == ["No."]


@pytest.mark.parametrize("write", [sse, array])
def test_an_error_ends_it_with_its_status(write: Any) -> None:
    error = {"error": {"code": 429, "message": "Slow down", "status": "RESOURCE_EXHAUSTED"}}
    for chunks in ([error], [CHUNKS[2], error]):
        failed = read(write(*chunks))[-1]
        assert isinstance(failed, Fail)
        assert (failed.message, failed.status, failed.code) == ("Slow down", 429, "RESOURCE_EXHAUSTED")


def test_sources_come_with_the_text() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [{"segment": {"endIndex": 4}, "groundingChunkIndices": [0]}],
    }
    last = chunk("g", {"text": ""}, finish="STOP")
    last["candidates"][0] |= {"groundingMetadata": grounding, "urlContextMetadata": {"urlMetadata": []}}
    events = read(sse(chunk("g", {"text": "Grün"}), last))
    [cited] = [event.citation for event in events if isinstance(event, Cite)]
    assert (cited.url, cited.start, cited.end) == ("https://a.example", 0, 3)
    assert [event.what for event in events if isinstance(event, Lost)] == ["urlContextMetadata"]


@pytest.mark.parametrize(
    "data",
    [
        b"data: 5\n\n",
        b'data: {"candidates":[{"content":{"parts":[{"text":5}]}}]}\n\n',
        b"[5]",
        b"{}",
        sse(CHUNKS[0], CHUNKS[1] | {"responseId": "another"}),
    ],
)
def test_what_is_no_answer_fails(data: bytes) -> None:
    assert isinstance(read(data)[-1], Fail)
