"""Whole answers of generateContent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.gemini.response_decode import decode_response
from llmproxy.dialects.model import Refusal, Reply, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from tests.support.strict_gemini import chunk


def read(value: Any) -> Reply:
    return decode_response(json.dumps(value).encode())


def test_parts_are_blocks() -> None:
    call = {"functionCall": {"name": "look", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
    reply = read(chunk("g", {"text": "Hm", "thought": True}, {"text": "Hi"}, call, finish="STOP"))
    thought, text, called = reply.content
    assert isinstance(thought, Thinking) and isinstance(text, Text) and isinstance(called, ToolCall)
    assert called.signature == {"thoughtSignature": "c2ln"} and called.arguments == '{"a":1}'
    assert (reply.stop, reply.stop_word, reply.model, reply.id) == ("tool_calls", "STOP", "g", "gemini-fake")
    again = read(chunk("g", call, finish="STOP")).content[0]
    assert isinstance(again, ToolCall) and again.id != called.id


@pytest.mark.parametrize(
    ("word", "stop"),
    [
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("ESCALATION", "content_filter"),
        ("CONTINUATION", "pause"),
        ("MALFORMED_FUNCTION_CALL", "end"),
        ("WHO_KNOWS", "end"),
    ],
)
def test_finish_reasons_old_and_new_are_known(word: str, stop: str) -> None:
    reply = read(chunk("g", {"text": "Hi"}, finish=word))
    assert (reply.stop, reply.stop_word) == (stop, word)


def test_a_blocked_prompt_is_a_refusal() -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "Not this."}
    reply = read({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}})
    assert (reply.stop, reply.stop_word) == ("refusal", "PROHIBITED_CONTENT")
    assert [block.text for block in reply.content if isinstance(block, Refusal)] == ["Not this."]
    assert reply.usage is not None and (reply.usage.input, reply.usage.output) == (4, 0)


def test_what_only_google_has_is_kept_apart() -> None:
    value = chunk("g", {"text": "Hi"}, finish="STOP")
    value["candidates"][0] |= {"safetyRatings": [], "urlContextMetadata": {"urlMetadata": []}}
    value["createTime"] = "2026-11-29T00:00:00Z"
    assert read(value).extra == {
        "~createTime": "2026-11-29T00:00:00Z",
        "candidate": {"~safetyRatings": [], "urlContextMetadata": {"urlMetadata": []}},
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "not a JSON object"),
        ({}, "no candidates"),
        ({"error": {"code": 429, "message": "Slow down", "status": "RESOURCE_EXHAUSTED"}}, "Slow down"),
        ([{"error": {"code": 429, "message": "Slow down"}}], "Slow down"),
        ({"candidates": [{"content": {"parts": [{"text": 5}]}}]}, "must be a string"),
    ],
)
def test_what_is_no_answer_is_refused(value: Any, message: str) -> None:
    with pytest.raises(BadReply, match=message):
        read(value)
