"""Responses, read from the vendor and written for the official SDK."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from llmproxy.dialects.responses import CODEC, DIALECT
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage, UsageDetails
from tests.support import vendors
from tests.support.sdk_clients import USAGE, openai_client, plain_answer

COUNTED = Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, reasoning=vendors.REASONING)


def read(reply: object, *, text: bool = False) -> Summary:
    return DIALECT.readers.summarize(json.dumps(reply).encode(), text=text)


@pytest.mark.parametrize("text", [False, True])
def test_a_vendors_reply_is_understood(text: bool) -> None:
    assert read(vendors.response("m"), text=text) == Summary(
        id="resp_fake",
        model="m",
        usage=COUNTED,
        finish_reason="completed",
        text=vendors.TEXT if text else None,
        complete=True,
    )


def test_a_response_that_stopped_early_says_why() -> None:
    reply = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "error": None}
    assert read(reply) == Summary(finish_reason="max_output_tokens", complete=True)


def test_a_response_that_failed_has_an_error() -> None:
    reply = {"status": "failed", "error": {"code": "server_error", "message": "went wrong"}}
    assert read(reply) == Summary(finish_reason="failed", error="went wrong")


def test_text_is_that_of_the_messages() -> None:
    output: list[object] = [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "b"}]},
        "odd",
    ]
    assert read({"output": output}, text=True).text == "ab"


@pytest.mark.parametrize("wrong", ["text", 5, 1.5, True, None, [], {}, {"x": 1}, -3], ids=repr)
def test_a_wrong_type_costs_its_own_field_only(wrong: object) -> None:
    good = vendors.response("m")
    for name in ("model", "output", "usage", "status", "incomplete_details", "error"):
        summary = read({**good, name: wrong}, text=True)
        assert name == "model" or summary.model == "m"
        assert name == "usage" or summary.usage == COUNTED
        assert name == "status" or summary.finish_reason == "completed"
        assert name == "output" or summary.text == vendors.TEXT


@given(st.binary(max_size=80))
def test_no_bytes_make_reading_fail(body: bytes) -> None:
    assert isinstance(DIALECT.readers.summarize(body, text=True), Summary)


def test_the_canned_reply_is_what_the_vendor_would_send() -> None:
    response = Response.model_validate_json(plain_answer(CODEC))
    assert response.output_text == "stub response" and response.status == "completed"
    actual = response.usage
    assert actual and (actual.input_tokens, actual.output_tokens, actual.total_tokens) == (11, 2, 13)
    assert actual.input_tokens_details.cached_tokens == 4 and actual.output_tokens_details.reasoning_tokens == 0
    reply = openai_client(plain_answer(CODEC)).responses.create(model="m", input="Hi")
    assert reply.output_text == "stub response" and reply.usage == actual


def test_usage_that_is_not_known_is_null() -> None:
    assert Response.model_validate_json(plain_answer(CODEC, None)).usage is None


def test_what_is_written_is_read_again() -> None:
    assert DIALECT.readers.summarize(plain_answer(CODEC), text=True) == Summary(
        id="resp_7",
        model="stub-1",
        usage=USAGE,
        finish_reason="completed",
        text="stub response",
        complete=True,
    )


@pytest.mark.parametrize("text", [False, True])
def test_searches_are_counted_for_the_price(text: bool) -> None:
    output = [{"type": "web_search_call", "action": {"type": "search"}}, {"type": "message", "content": []}]
    response = {"status": "completed", "output": output, "usage": {"input_tokens": 1}, "service_tier": "flex"}
    expected = Usage(input=1, details=UsageDetails(tier="flex", web_search=1))
    assert read(response, text=text).usage == expected
    watch = DIALECT.readers.watch(text=text)
    event = {"type": "response.completed", "response": response}
    watch.feed(b"event: response.completed\ndata: " + json.dumps(event).encode() + b"\n\n")
    assert watch.close().usage == expected
