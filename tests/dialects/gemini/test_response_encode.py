"""Whole answers for clients of google-genai."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.gemini import CODEC
from llmproxy.dialects.model import (
    Block,
    Citation,
    Reasoning,
    Refusal,
    Reply,
    Request,
    StopReason,
    Text,
    Thinking,
    ToolCall,
)
from llmproxy.dialects.usage import Usage


def written(*content: Block, stop: StopReason = "end", shown: bool = False, **more: Any) -> tuple[Any, list[str]]:
    losses = Losses()
    reply = Reply(id="chatcmpl-1", model="m", content=[*content], stop=stop, dialect="chat", **more)
    request = Request(dialect="gemini", model="m", reasoning=Reasoning(summary="auto" if shown else None))
    body = CODEC.encode_response(reply, request, CODEC.context("chat", losses))
    return types.GenerateContentResponse.model_validate(body), losses.dropped


def test_an_answer_is_of_googles_type() -> None:
    usage = Usage(input=9, output=5, reasoning=2, cache_read=3)
    answer, dropped = written(Text(text="Hi "), Text(text="you"), usage=usage)
    assert (answer.text, answer.response_id, answer.model_version) == ("Hi you", "1", "m")
    counted = answer.usage_metadata
    assert (counted.prompt_token_count, counted.candidates_token_count, counted.thoughts_token_count) == (9, 3, 2)
    assert (counted.total_token_count, dropped) == (14, [])


@pytest.mark.parametrize("shown", [False, True])
def test_thoughts_are_shown_to_those_who_ask(shown: bool) -> None:
    answer, dropped = written(Thinking(text="Hm", dialect="messages", signature="x"), Text(text="Hi"), shown=shown)
    parts = answer.candidates[0].content.parts
    assert [part.thought for part in parts] == ([True, None] if shown else [None])
    assert answer.text == "Hi" and not any(part.thought_signature for part in parts) and dropped == []


def test_calls_end_like_others() -> None:
    answer, _ = written(ToolCall(id="c", name="look", arguments='{"a":1}'), stop="tool_calls")
    assert answer.function_calls == [types.FunctionCall(id="c", name="look", args={"a": 1})]
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP


def test_arguments_that_are_no_json_are_kept_as_text() -> None:
    answer, dropped = written(ToolCall(id="c", name="look", arguments="[1"))
    assert answer.function_calls[0].args == {"_raw": "[1"} and dropped == ["reply.tool_call.arguments"]


@pytest.mark.parametrize(
    ("stop", "word", "dropped"),
    [
        ("length", "MAX_TOKENS", []),
        ("context_window", "MAX_TOKENS", []),
        ("refusal", "SAFETY", []),
        ("pause", "STOP", ["reply.stop.pause"]),
        ("stop_sequence", "STOP", ["reply.stop_sequence"]),
    ],
)
def test_a_reason_to_stop_has_its_word(stop: StopReason, word: str, dropped: list[str]) -> None:
    more: Any = {"stop_sequence": "x"} if stop == "stop_sequence" else {}
    answer, listed = written(Refusal(text="No."), stop=stop, **more)
    assert (answer.candidates[0].finish_reason.value, listed) == (word, dropped)


def test_sources_are_grounding() -> None:
    first = Text(text="Grün.", annotations=[Citation(url="https://a.example", title="A", start=0, end=5)])
    second = Text(text="Alt.", annotations=[Citation(url="https://b.example", start=0, end=4), Citation(title="Book")])
    answer, dropped = written(first, second)
    grounding = answer.candidates[0].grounding_metadata
    assert [chunk.web.uri for chunk in grounding.grounding_chunks] == ["https://a.example", "https://b.example"]
    ends = [(each.segment.start_index, each.segment.end_index) for each in grounding.grounding_supports]
    assert ends == [(0, 6), (6, 10)] and dropped == ["reply.citation"]


def test_an_unusual_tier_is_listed() -> None:
    assert written(Text(text="Hi"), service_tier="default")[1] == []
    assert written(Text(text="Hi"), service_tier="flex")[1] == ["reply.service_tier"]
