"""Streams for clients of google-genai."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.gemini.stream_encode import GeminiStreamEncoder
from llmproxy.dialects.model import Citation, Reasoning, Request, Text, Thinking, ToolCall
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from tests.support.gemini_types import GeminiStreamError, accumulate_gemini, gemini_chunks

BEGIN = Start(id="resp_1", model="m")
END: list[Event] = [Stop(reason="end"), UsageUpdate(usage=Usage(input=3, output=2)), Done()]


def written(*events: Event, shown: bool = True) -> tuple[bytes, list[str], GeminiStreamEncoder]:
    request = Request(dialect="gemini", model="asked", reasoning=Reasoning(summary="auto" if shown else None))
    encoder, losses = GeminiStreamEncoder(request), Losses()
    return b"".join(encoder.encode([event], losses) for event in events), losses.dropped, encoder


def parts(data: bytes) -> Any:
    return accumulate_gemini(data)["candidates"][0]["content"]["parts"]


def test_each_text_is_a_chunk_and_the_last_one_counts() -> None:
    data, dropped, encoder = written(
        BEGIN,
        Open(index=0, block=Text(text="")),
        *(Delta(index=0, text=each) for each in ("a", "\ud800b")),
        Close(index=0),
        *END,
    )
    chunks = list(gemini_chunks(data))
    assert [each["candidates"][0]["content"]["parts"] for each in chunks] == [
        [{"text": "a"}],
        [{"text": "\ufffdb"}],
        [{"text": ""}],
    ]
    assert {(each["responseId"], each["modelVersion"]) for each in chunks} == {("1", "m")}
    assert chunks[-1]["usageMetadata"] == {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    assert (encoder.finish_reason, dropped) == ("STOP", [])


def test_calls_are_written_whole_one_after_the_other() -> None:
    events: list[Event] = [
        BEGIN,
        Open(index=0, block=ToolCall(id="a", name="look", arguments="")),
        Open(index=1, block=ToolCall(id="b", name="see", arguments="")),
        Delta(index=0, text='{"x":'),
        Delta(index=1, text="{}"),
        Close(index=1),
        Delta(index=0, text="1}"),
        Close(index=0),
        Stop(reason="tool_calls"),
        Done(),
    ]
    assert [part["functionCall"] for part in parts(written(*events)[0])] == [
        {"id": "a", "name": "look", "args": {"x": 1}},
        {"id": "b", "name": "see", "args": {}},
    ]


@pytest.mark.parametrize("shown", [False, True])
def test_thoughts_are_shown_to_those_who_ask(shown: bool) -> None:
    thinking = Open(index=0, block=Thinking(text="", dialect="messages"))
    data, dropped, _ = written(
        BEGIN,
        thinking,
        Delta(index=0, text="Hm"),
        Close(index=0, signature="x"),
        Open(index=1, block=Text(text="Hi")),
        Close(index=1),
        *END,
        shown=shown,
    )
    assert parts(data) == ([{"text": "Hm", "thought": True}] if shown else []) + [{"text": "Hi"}]
    assert dropped == []


def test_sources_come_last() -> None:
    citation = Citation(url="https://a.example", title="A", start=0, end=4)
    data, dropped, _ = written(
        BEGIN,
        Open(index=0, block=Text(text="")),
        Delta(index=0, text="Grün."),
        Cite(index=0, citation=citation),
        Cite(index=0, citation=Citation(title="A book")),
        Close(index=0),
        *END,
    )
    grounding = accumulate_gemini(data)["candidates"][0]["groundingMetadata"]
    assert grounding["groundingSupports"][0]["segment"] == {"startIndex": 0, "endIndex": 5, "text": "Grün"}
    assert dropped == ["reply.citation"]


def test_an_error_is_what_the_sdk_looks_for() -> None:
    data, _, _ = written(BEGIN, Fail(message="boom", status=503))
    assert data.endswith(b'data: {"error":{"code":503,"message":"boom","status":"UNAVAILABLE"}}\n\n')
    with pytest.raises(GeminiStreamError, match="boom"):
        list(gemini_chunks(data))
