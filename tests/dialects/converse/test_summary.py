"""What a whole answer says, read in passing; held against the derived summary in `test_derived.py`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.dialects.converse.summary import summarize
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from tests.support import vendors


def test_an_answer_is_read() -> None:
    body = json.dumps(vendors.converse(tools=True)).encode()
    usage = Usage(input=vendors.IN, output=vendors.OUT, cache_read=vendors.CACHED, cache_write=16)
    assert summarize(body) == Summary(usage=usage, finish_reason="tool_use", complete=True)
    assert summarize(body, text=True).text == vendors.TEXT


def test_texts_with_citations_are_texts() -> None:
    cited = {"citationsContent": {"content": [{"text": "b"}], "citations": []}}
    body = {"output": {"message": {"content": [{"text": "a"}, cited, 5]}}}
    assert summarize(json.dumps(body).encode(), text=True).text == "ab"


@pytest.mark.parametrize("body", [b"", b"no json", b"[]"])
def test_what_is_no_object_says_nothing(body: bytes) -> None:
    assert summarize(body) == Summary()


@pytest.mark.parametrize("value", [{"output": 5, "usage": "x", "stopReason": []}, {"output": {"message": []}}, {}])
def test_members_of_a_wrong_type_cost_themselves_alone(value: Any) -> None:
    assert summarize(json.dumps(value).encode(), text=True) == Summary(text="", complete=True)


def test_an_error_is_the_providers_message() -> None:
    assert summarize(b'{"message":"No more"}', text=True) == Summary(error="No more")
