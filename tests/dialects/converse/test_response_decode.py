"""Whole answers of Converse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.converse import CODEC
from llmproxy.dialects.converse.response_decode import decode_response, decode_stop
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import Request
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.usage import Usage, UsageDetails

WHOLE: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "stop_sequence",
    "usage": {
        "inputTokens": 5,
        "outputTokens": 2,
        "totalTokens": 11,
        "cacheReadInputTokens": 4,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 4}],
    },
    "metrics": {"latencyMs": 12},
    "additionalModelResponseFields": {"stop_sequence": "END", "more": 1},
    "trace": {"guardrail": {}},
    "performanceConfig": {"latency": "optimized"},
    "serviceTier": {"type": "flex"},
}


def test_an_answer_is_read() -> None:
    reply = decode_response(json.dumps(WHOLE).encode())
    assert (reply.id, reply.model, reply.stop, reply.stop_sequence) == ("", "", "stop_sequence", "END")
    assert (
        reply.usage == Usage(input=9, output=2, cache_read=4, details=UsageDetails(tier="flex", cache_write_1h=4))
        and reply.service_tier == "flex"
    )


def test_bookkeeping_is_no_loss_and_goes_back_to_its_own_dialect() -> None:
    reply, losses = decode_response(json.dumps(WHOLE).encode()), Losses()
    EncodeContext(losses=losses).drop_extra(reply)
    assert losses.dropped == ["reply.trace", "reply.additionalModelResponseFields.more"]
    context = EncodeContext(losses=Losses(), own=True)
    assert CODEC.encode_response(reply, Request(dialect="converse", model="m"), context) == WHOLE


@pytest.mark.parametrize(
    ("reason", "called", "stop"),
    [
        ("end_turn", False, "end"),
        ("end_turn", True, "tool_calls"),
        ("tool_use", True, "tool_calls"),
        ("max_tokens", True, "length"),
        ("guardrail_intervened", False, "content_filter"),
        ("content_filtered", False, "content_filter"),
        ("malformed_tool_use", False, "end"),
        ("malformed_model_output", False, "end"),
        ("model_context_window_exceeded", False, "context_window"),
        ("new", False, "end"),
        (None, False, "end"),
    ],
)
def test_reasons_are_ours(reason: object, called: bool, stop: str) -> None:
    assert decode_stop(reason, called=called) == stop


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no json", "not a Converse answer"),
        (b"{}", "no message"),
        (b'{"output":{"message":{}}}', "no message"),
        (b'{"output":{"message":{"content":[{"text":5}]}}}', "must be a string"),
        (b'{"message":"No more"}', "No more"),
    ],
)
def test_what_is_no_answer_is_a_bad_one(body: bytes, words: str) -> None:
    with pytest.raises(BadReply, match=words):
        decode_response(body)
