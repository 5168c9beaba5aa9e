"""Streams of streamGenerateContent, watched as they pass; held against the derived watch in `test_derived.py`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.gemini.stream_watch import GeminiWatch
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from tests.support.strict_gemini import chunk, frame


def usage(output: int) -> dict[str, int]:
    return {"promptTokenCount": 3, "candidatesTokenCount": output, "totalTokenCount": 3 + output}


CHUNKS = [
    chunk("g", {"text": "Hm", "thought": True}, usageMetadata=usage(1)),
    chunk("g", {"text": "Grüß "}, usageMetadata=usage(2)),
    chunk("g", {"text": "Gott"}, usageMetadata=usage(3)),
    chunk("g", {"text": ""}, finish="STOP", usageMetadata=usage(4)),
]


def sse(*chunks: Any) -> bytes:
    return b"".join(map(frame, chunks)).replace(b"\n", b"\r\n")


def array(*chunks: Any) -> bytes:
    return json.dumps(chunks, ensure_ascii=False).encode()


def watched(data: bytes, size: int = 1 << 20, *, text: bool = False) -> Summary:
    watch = GeminiWatch(text=text)
    for at in range(0, len(data), size):
        watch.feed(data[at : at + size])
    return watch.close()


@pytest.mark.parametrize("size", [1, 7, 90, 1 << 20])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("write", [sse, array])
def test_a_stream_is_read_wherever_it_is_cut(write: Any, text: bool, size: int) -> None:
    summary = watched(write(*CHUNKS), size, text=text)
    assert (summary.model, summary.finish_reason, summary.complete) == ("g", "STOP", True)
    assert summary.usage == Usage(input=3, output=4) and summary.text == ("Grüß Gott" if text else None)


@pytest.mark.parametrize("write", [sse, array])
def test_one_that_breaks_off_has_the_tokens_of_its_last_chunk(write: Any) -> None:
    watch = GeminiWatch()
    for each in CHUNKS[:3]:
        watch.feed(frame(each) if write is sse else b"[" + json.dumps(each).encode() + b",\n")
        if write is array:
            break
    summary = watch.close()
    assert not summary.complete and summary.error is None
    assert summary.usage == Usage(input=3, output=3 if write is sse else 1)


def test_content_begins_it() -> None:
    for part, begun in (({"text": ""}, False), ({"text": "a", "thought": True}, True), ({"functionCall": {}}, True)):
        watch = GeminiWatch()
        watch.feed(frame(chunk("g", part)))
        assert watch.started is begun


@pytest.mark.parametrize("write", [sse, array])
def test_an_error_is_the_providers(write: Any) -> None:
    summary = watched(write(CHUNKS[0], {"error": {"code": 429, "message": "Slow down", "status": "X"}}))
    assert (summary.error, summary.complete) == ("Slow down", False)
    assert watched(b'data: [{"error": {"message": "In a list"}}]\n\n').error == "In a list"


def test_a_blocked_prompt_is_a_reason() -> None:
    feedback = {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "No."}}
    summary = watched(sse(feedback), text=True)
    assert (summary.finish_reason, summary.text, summary.complete) == ("SAFETY", "No.", True)


def test_nothing_is_nothing() -> None:
    assert watched(b"", text=True) == Summary(text="") and watched(b" \r\n") == Summary()
