"""The arguments of calls, in whatever form a service writes them."""

from __future__ import annotations

import pytest

from llmproxy.dialects.call_arguments import arguments_of, arguments_text, has_arguments, may_be_none
from llmproxy.dialects.catalog import codecs
from llmproxy.dialects.encode_context import Losses, Options


def test_arguments_are_text_or_an_object() -> None:
    values: tuple[object, ...] = ('{"a":1}', {"a": 1}, {}, [1], None, [], "")
    assert [arguments_text(value) for value in values] == ['{"a":1}', '{"a":1}', "{}", "[1]", "", "", ""]


@pytest.mark.parametrize("value", [None, "", " ", "\n", "null", " null\n", {}, [], False])
def test_nothing_in_any_form_is_an_empty_object(value: object) -> None:
    assert arguments_of(value) == "{}"


def test_other_text_is_the_arguments_of_a_call() -> None:
    assert arguments_of("nul") == "nul" and has_arguments("nul")


def test_a_beginning_may_still_be_none() -> None:
    assert [may_be_none(text) for text in ("", " ", " nul", "null ", "{", "nule")] == [True] * 4 + [False] * 2


def test_arguments_of_a_history_become_an_object_for_services_that_read_them() -> None:
    items = [{"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"cut'}]
    items.append({"type": "function_call_output", "call_id": "c", "output": "r"})
    request = codecs()["responses"].decode_request({"model": "m", "input": items})
    for openai, expected in ((False, '{"_raw":"{\\"cut"}'), (True, '{"cut')):
        losses = Losses()
        context = codecs()["chat"].context("responses", losses, Options(custom_tools=openai))
        body = codecs()["chat"].encode_request(request, context)
        assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == expected
        assert losses.dropped == ([] if openai else ["input[0]"])
