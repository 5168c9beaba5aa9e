"""Messages, read from the vendor and written for the official SDK."""

from __future__ import annotations

import json

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.messages import CODEC, DIALECT
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from tests.support import vendors
from tests.support.sdk_clients import USAGE, anthropic_client, plain_answer


def read(reply: object, *, text: bool = False) -> Summary:
    return DIALECT.readers.summarize(json.dumps(reply).encode(), text=text)


def usage(**members: object) -> Usage | None:
    return read({"usage": members}).usage


@pytest.mark.parametrize("text", [False, True])
def test_a_vendors_reply_is_understood(text: bool) -> None:
    counted = Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, cache_write=16)
    assert read(vendors.message("m"), text=text) == Summary(
        model="m", usage=counted, finish_reason="end_turn", text=vendors.TEXT if text else None, complete=True
    )


@pytest.mark.parametrize("wrong", ["text", 5, 1.5, True, None, [], {}, {"x": 1}, -3], ids=repr)
def test_a_wrong_type_costs_its_own_field_only(wrong: object) -> None:
    good = vendors.message("m")
    for name in ("model", "content", "usage", "stop_reason", "error"):
        summary = read({**good, name: wrong}, text=True)
        assert name == "model" or summary.model == "m"
        assert name == "usage" or (summary.usage and summary.usage.input == vendors.IN)
        assert name == "stop_reason" or summary.finish_reason == "end_turn"
        assert name == "content" or summary.text == vendors.TEXT


@given(st.binary(max_size=80))
def test_no_bytes_make_reading_fail(body: bytes) -> None:
    assert isinstance(DIALECT.readers.summarize(body, text=True), Summary)


def test_an_error_is_recorded_and_completes_nothing() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert read(error) == Summary(error="Overloaded")


def test_a_count_of_tokens_is_no_usage() -> None:
    assert read({"input_tokens": 5}) == Summary(complete=True)


def test_the_canned_reply_is_what_the_vendor_would_send() -> None:
    message = Message.model_validate_json(plain_answer(CODEC))
    assert message.content[0].type == "text" and message.content[0].text == "stub response"
    actual = message.usage
    assert (actual.input_tokens, actual.cache_read_input_tokens, actual.cache_creation_input_tokens) == (6, 4, 1)
    assert actual.output_tokens == 2 and message.stop_reason == "end_turn"
    client = anthropic_client(plain_answer(CODEC))
    assert client.messages.create(model="m", max_tokens=9, messages=[]).usage == actual


def test_what_is_written_is_read_again() -> None:
    assert DIALECT.readers.summarize(plain_answer(CODEC), text=True) == Summary(
        model="stub-1", usage=USAGE, finish_reason="end_turn", text="stub response", complete=True
    )
