"""Answers for clients of Converse, as the service model has them."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.converse.response_encode import encode_response, finish_reason_of
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import Block, Media, Opaque, Refusal, Reply, Request, StopReason, Text, Thinking, ToolCall
from tests.support.converse_types import check_converse_reply

CALL = ToolCall(id="a b", name="look", arguments='{"a":1}')


def written(*content: Block, losses: Losses | None = None, asked: Any = None, **more: Any) -> dict[str, Any]:
    extra = {} if asked is None else {"additionalModelResponseFieldPaths": asked}
    request = Request(dialect="converse", model="m", extra=extra)
    reply = Reply(id="x", model="m", content=list(content), **{"stop": "end", **more})
    body = encode_response(reply, request, EncodeContext(losses=losses or Losses()))
    check_converse_reply(body)
    return body


def test_an_answer_of_any_dialect_is_one_of_converse() -> None:
    body = written(Text(text="Hi"), CALL)
    text, call = body["output"]["message"]["content"]
    assert text == {"text": "Hi"} and call["toolUse"]["input"] == {"a": 1} and " " not in call["toolUse"]["toolUseId"]
    assert finish_reason_of(body) == "tool_use"


@pytest.mark.parametrize(
    ("stop", "word"),
    [
        ("end", "end_turn"),
        ("length", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("refusal", "content_filtered"),
        ("content_filter", "content_filtered"),
        ("pause", "end_turn"),
        ("context_window", "model_context_window_exceeded"),
    ],
)
def test_reasons_are_the_vendors(stop: StopReason, word: str) -> None:
    losses = Losses()
    assert written(stop=stop, losses=losses)["stopReason"] == word
    assert losses.dropped == (["reply.stop.pause"] if stop == "pause" else [])


def test_the_stop_sequence_is_for_those_who_ask() -> None:
    assert "additionalModelResponseFields" not in written(stop="stop_sequence", stop_sequence="END")
    body = written(stop="stop_sequence", stop_sequence="END", asked=["/stop_sequence"])
    assert body["additionalModelResponseFields"] == {"stop_sequence": "END"}


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (
            Thinking(text="a", dialect="messages", signature="s"),
            {"reasoningText": {"text": "a", "signature": "s"}},
        ),
        (
            Thinking(text="a", dialect="chat", field="reasoning"),
            {"reasoningText": {"text": "a", "signature": "reasoning"}},
        ),
        (Thinking(text="a", dialect="responses", encrypted="AAAA"), {"reasoningText": {"text": "a"}}),
        (Thinking(text="", dialect="messages", encrypted="AAAA", redacted=True), {"redactedContent": "AAAA"}),
    ],
)
def test_thinking_is_shown(thinking: Thinking, expected: dict[str, Any]) -> None:
    assert written(thinking)["output"]["message"]["content"] == [{"reasoningContent": expected}]


def test_what_has_no_place_is_listed() -> None:
    losses = Losses()
    body = written(
        Thinking(text="", dialect="responses", encrypted="x"),
        Opaque(dialect="chat", kind="odd", value={}),
        Media(kind="audio", data="AAAA", media_type="audio/odd"),
        ToolCall(id="t", name="n", arguments="[1"),
        Text(text="", logprobs=[1]),
        Refusal(text="No"),
        losses=losses,
        service_tier="scale",
    )
    content = body["output"]["message"]["content"]
    assert content == [{"toolUse": {"toolUseId": "t", "name": "n", "input": {"_raw": "[1"}}}, {"text": "No"}]
    assert losses.dropped == [
        *("reply.thinking", "reply.odd", "reply.audio", "reply.tool_call.arguments", "reply.logprobs"),
        "reply.service_tier",
    ]


def test_a_picture_is_one_of_the_vendors() -> None:
    picture = Media(kind="image", data="AAAA", media_type="image/png")
    [block] = written(picture)["output"]["message"]["content"]
    assert block == {"image": {"format": "png", "source": {"bytes": "AAAA"}}}


def test_a_call_without_a_name_gets_one_with_which_it_can_be_sent_back() -> None:
    [call] = written(ToolCall(id="a", name="", arguments="{}"))["output"]["message"]["content"]
    assert call["toolUse"]["name"] == "unnamed"


def test_sealed_thinking_that_is_no_base64_is_listed_as_the_sdks_cannot_read_it() -> None:
    losses = Losses()
    sealed = [Thinking(text="", dialect="messages", encrypted=each, redacted=True) for each in ("eWVz", "yes")]
    [block] = written(*sealed, losses=losses)["output"]["message"]["content"]
    assert block == {"reasoningContent": {"redactedContent": "eWVz"}} and losses.dropped == ["reply.thinking"]
