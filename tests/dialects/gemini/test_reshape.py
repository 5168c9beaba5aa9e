"""Stored answers in the other form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.gemini.reshape import RESHAPE
from tests.support.gemini_types import accumulate_gemini, check_gemini_reply
from tests.support.strict_gemini import chunks_of, frame
from tests.support.translation_cases import CASES

ANSWERED = [case for case in CASES if "gemini" in case.replies]
CHUNKS = chunks_of({"contents": [{}], "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, "g")
SSE = b"".join(map(frame, CHUNKS))
ARRAY = json.dumps(CHUNKS).encode()


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_each_form_holds_the_other(case: Any) -> None:
    reply, stream = case.replies["gemini"], case.streams["gemini"]
    made = RESHAPE.stream_of(json.dumps(reply).encode(), usage=True)
    assert made is not None and RESHAPE.is_whole(made) and RESHAPE.is_whole(stream)
    assert RESHAPE.reply_of(made) is not None and json.loads(RESHAPE.reply_of(made) or b"") == reply
    joined = json.loads(RESHAPE.reply_of(stream) or b"")
    check_gemini_reply(joined)
    told = joined["candidates"][0]
    logprobs = told.pop("logprobsResult", None)
    assert logprobs == reply["candidates"][0].get("logprobsResult")
    expected = {name: value for name, value in reply["candidates"][0].items() if name != "logprobsResult"}
    assert {**joined, "candidates": [told]} == {**reply, "candidates": [expected]}


@pytest.mark.parametrize("stream", [SSE, ARRAY], ids=["events", "array"])
def test_a_stream_of_either_framing_is_a_reply(stream: bytes) -> None:
    assert json.loads(RESHAPE.reply_of(stream) or b"") == accumulate_gemini(SSE)


@pytest.mark.parametrize(
    "stream", [SSE[:-400], ARRAY[:-1], b"", b"[]", b"data: 5\n\n", frame({"error": {"code": 500}})]
)
def test_what_is_not_whole_is_none(stream: bytes) -> None:
    assert RESHAPE.reply_of(stream) is None and not RESHAPE.is_whole(stream)


def test_it_knows_what_a_cache_asks() -> None:
    cold = {"generation_config": {"temperature": 0}}
    assert RESHAPE.is_deterministic(cold) and RESHAPE.is_deterministic({"generationConfig": {"seed": 4}})
    for body in ({}, {"generationConfig": {"temperature": 1}}, {"generationConfig": 5}):
        assert not RESHAPE.is_deterministic(body)
    assert RESHAPE.names_stored({"cached_content": "c"}) and not RESHAPE.names_stored(cold)
    assert RESHAPE.says_something(b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}')
    assert not RESHAPE.says_something(b'{"candidates":[{"content":{}}]}') and not RESHAPE.says_something(b"x")
    assert RESHAPE.stream_of(b'{"promptFeedback":{}}', usage=True) is None
