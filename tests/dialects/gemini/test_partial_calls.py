"""Arguments of calls that come in pieces, as Vertex sends them with `streamFunctionCallArguments`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from llmproxy.dialects.gemini.partial_calls import PartialCalls
from llmproxy.dialects.gemini.reshape import RESHAPE
from llmproxy.dialects.gemini.stream_decode import GeminiStreamDecoder
from llmproxy.dialects.model import Reply, Text, ToolCall
from llmproxy.dialects.reply_events import collect
from llmproxy.dialects.stream_events import Fail
from tests.support.strict_gemini import SIGNATURE, chunk, frame


def call(*pieces: dict[str, Any], more: bool = True, **members: Any) -> dict[str, Any]:
    made = {**members, **({"partialArgs": list(pieces)} if pieces else {}), **({"willContinue": True} if more else {})}
    types.FunctionCall.model_validate(made)
    return {"functionCall": made}


def text(path: str, value: str, *, more: bool = False) -> dict[str, Any]:
    return {"jsonPath": path, "stringValue": value, **({"willContinue": True} if more else {})}


STREAM = [
    chunk("g", {"text": "Look: "}, {**call(name="look", id="c1"), "thoughtSignature": SIGNATURE}),
    chunk("g", call(text("$.place", "New ", more=True))),
    chunk("g", call(text("$.place", "Delhi"), {"jsonPath": "$.days[0].n", "numberValue": 3})),
    chunk(
        "g", call({"jsonPath": "$.days[1]['a b']", "boolValue": True}, {"jsonPath": "$.x", "nullValue": "NULL_VALUE"})
    ),
    chunk("g", {"functionCall": {}}),
    chunk("g", {"functionCall": {"name": "plain", "args": {"a": 1}}}, finish="STOP"),
]
ARGUMENTS = {"place": "New Delhi", "days": [{"n": 3}, {"a b": True}], "x": None}


def replied(chunks: list[Any]) -> Reply | Fail:
    decoder = GeminiStreamDecoder()
    events = [*decoder.feed(b"".join(map(frame, chunks))), *decoder.close()]
    return collect(events)


def test_a_stream_has_whole_calls_for_other_dialects() -> None:
    reply = replied(STREAM)
    assert isinstance(reply, Reply)
    words, first, second = reply.content
    assert isinstance(words, Text) and isinstance(first, ToolCall) and isinstance(second, ToolCall)
    assert (first.id, first.name, first.signature) == ("c1", "look", {"thoughtSignature": SIGNATURE})
    assert json.loads(first.arguments) == ARGUMENTS and second.name == "plain"
    assert reply.stop == "tool_calls"


def test_a_kept_stream_is_a_whole_answer_with_the_same_calls() -> None:
    whole = json.loads(RESHAPE.reply_of(b"".join(map(frame, STREAM))) or b"")
    _, first, second = whole["candidates"][0]["content"]["parts"]
    assert first["functionCall"] == {"name": "look", "id": "c1", "args": ARGUMENTS}
    assert second["functionCall"] == {"name": "plain", "args": {"a": 1}}


def test_what_breaks_off_is_given_as_far_as_it_came() -> None:
    reply = replied([*STREAM[:2], chunk("g", {"text": ""}, finish="MAX_TOKENS")])
    assert isinstance(reply, Reply) and isinstance(reply.content[1], ToolCall)
    assert json.loads(reply.content[1].arguments) == {"place": "New "} and reply.stop == "length"


def test_a_call_ends_where_another_begins() -> None:
    joined = PartialCalls().join([call(text("$.a", "x"), name="one"), call(more=False, name="two")])
    assert [part["functionCall"]["name"] for part in joined] == ["one", "two"]


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("$.a.b", {"a": {"b": "v"}}),
        ("$['a.b']", {"a.b": "v"}),
        (r"$['it\'s']", {"it's": "v"}),
        (r'$["a\"b"]', {'a"b': "v"}),
        ("$.a[999999999]", {"a": ["v"]}),
    ],
)
def test_places_are_read_as_json_paths(path: str, arguments: dict[str, Any]) -> None:
    (joined,) = PartialCalls().join([call(text(path, "v"), more=False, name="f")])
    assert joined["functionCall"]["args"] == arguments


@pytest.mark.parametrize("path", ["", "a", "$", "$..a", "$.a[*]", "$.a" * 100, "$[" + "9" * 5000 + "]"])
def test_a_place_that_cannot_be_read_ends_the_stream(path: str) -> None:
    failed = replied([chunk("g", call(text(path, "v"), name="f"), finish="STOP")])
    assert isinstance(failed, Fail) and "partial argument" in failed.message
