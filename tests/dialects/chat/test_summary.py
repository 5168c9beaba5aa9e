"""Chat replies, read from vendors and written for the official SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from llmproxy.dialects.chat import CODEC, DIALECT
from llmproxy.dialects.chat.summary import summarize, summarize_any
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from tests.support import vendors
from tests.support.sdk_clients import USAGE, openai_client, plain_answer


def read(reply: object, *, text: bool = False) -> Summary:
    return DIALECT.readers.summarize(json.dumps(reply).encode(), text=text)


def usage(**members: object) -> Usage | None:
    return read({"usage": members}).usage


@pytest.mark.parametrize("text", [False, True])
def test_a_vendors_reply_is_understood(text: bool) -> None:
    counted = Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, reasoning=vendors.REASONING)
    assert read(vendors.chat("m"), text=text) == Summary(
        model="m", usage=counted, finish_reason="stop", text=vendors.TEXT if text else None, complete=True
    )
    plain = Usage(input=vendors.IN, output=vendors.OUT)
    assert read(vendors.completion("m"), text=text) == Summary(
        model="m", usage=plain, finish_reason="stop", text=vendors.TEXT if text else None, complete=True
    )


def test_what_is_not_said_is_none() -> None:
    assert read({}) == Summary(complete=True)
    assert usage() == Usage()
    assert usage(prompt_tokens=1) == Usage(input=1)
    assert usage(prompt_tokens=0, completion_tokens=0) == Usage(input=0, output=0)


@pytest.mark.parametrize("wrong", ["text", 5, 1.5, True, None, [], [1], {}, {"x": 1}, -3], ids=repr)
@pytest.mark.parametrize("text", [False, True])
def test_a_wrong_type_costs_its_own_field_only(wrong: object, text: bool) -> None:
    good = vendors.chat("m")
    for name in ("model", "choices", "usage", "error"):
        summary = read({**good, name: wrong}, text=text)
        assert name == "model" or summary.model == "m"
        assert name == "choices" or summary.finish_reason == "stop"
        assert name == "usage" or (summary.usage and summary.usage.input == vendors.IN)
    for name in ("prompt_tokens", "completion_tokens_details"):
        counted = read({**good, "usage": {**vendors.chat_usage(), name: wrong}}).usage
        assert counted and counted.output == vendors.OUT and counted.cache_read == vendors.CACHED


_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 1, 7, -1, 10**13, 2**64, 1.5, True, "", "x", "default", "flex", [], [None], {}]
)
_DETAILS = st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens", "image_tokens"]), _ODD
)
_USAGE = st.fixed_dictionaries(
    {"prompt_tokens": st.sampled_from([0, 9]), "completion_tokens": st.sampled_from([0, 5])},
    optional={
        "total_tokens": st.sampled_from([14, 15, 21, None, "14"]),
        "prompt_tokens_details": _DETAILS | _ODD,
        "completion_tokens_details": _DETAILS | _ODD,
        **dict.fromkeys(["prompt_cache_hit_tokens", "cost", "num_search_queries", "input_tokens"], _ODD),
    },
)
_CHOICE = st.dictionaries(st.sampled_from(["finish_reason", "message"]), _ODD | st.just("stop"))


@given(
    st.fixed_dictionaries(
        {"model": st.sampled_from(["m", "", 5]), "usage": _USAGE | _ODD, "choices": st.lists(_CHOICE) | _ODD},
        optional={"error": _ODD, "service_tier": _ODD},
    )
)
def test_the_usual_reply_is_read_as_any_other(reply: dict[str, object]) -> None:
    body = json.dumps(reply).encode()
    assert summarize(body) == summarize_any(body)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b'{"usage":', b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_reply_says_nothing(body: bytes) -> None:
    assert DIALECT.readers.summarize(body) == DIALECT.readers.summarize(body, text=True) == Summary()


def test_a_reply_that_only_the_standard_library_reads_is_read() -> None:
    body = b'{"choices":[{"message":{"content":"\\ud83d"},"finish_reason":"stop","x":NaN}],"usage":{"prompt_tokens":3}}'
    assert DIALECT.readers.summarize(body).usage == Usage(input=3)
    assert DIALECT.readers.summarize(body, text=True).text == "\ud83d"


@given(st.binary(max_size=80))
def test_no_bytes_make_reading_fail(body: bytes) -> None:
    assert isinstance(DIALECT.readers.summarize(body, text=True), Summary)
    assert isinstance(DIALECT.readers.summarize(body), Summary)


@pytest.mark.parametrize("error", [{"message": "too long", "code": "c"}, "too long"], ids=["an object", "a string"])
def test_an_error_is_recorded_and_completes_nothing(error: object) -> None:
    assert read({"error": error}) == Summary(error="too long")


def test_a_refusal_is_the_text_of_a_reply_without_content() -> None:
    assert read({"choices": [{"message": {"content": None, "refusal": "No."}}]}, text=True).text == "No."
    assert read({"choices": [{"message": {"content": [{"type": "text", "text": "a"}]}}]}, text=True).text == "a"
    assert read({"choices": []}, text=True).text is None


def test_the_canned_reply_is_what_the_vendor_would_send() -> None:
    completion = ChatCompletion.model_validate_json(plain_answer(CODEC))
    assert completion.choices[0].message.content == "stub response"
    actual = completion.usage
    assert actual and (actual.prompt_tokens, actual.completion_tokens, actual.total_tokens) == (11, 2, 13)
    assert actual.prompt_tokens_details and actual.prompt_tokens_details.cached_tokens == 4
    reply = openai_client(plain_answer(CODEC)).chat.completions.create(model="m", messages=[])
    assert reply.choices[0].message.role == "assistant" and reply.usage == actual


def test_usage_that_is_not_known_is_null() -> None:
    assert ChatCompletion.model_validate_json(plain_answer(CODEC, None)).usage is None


def test_what_is_written_is_read_again() -> None:
    assert DIALECT.readers.summarize(plain_answer(CODEC), text=True) == Summary(
        model="stub-1", usage=USAGE, finish_reason="stop", text="stub response", complete=True
    )
