"""Contents, as Google wants them: whole turns of tools, signed calls, nothing empty."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat import CODEC as CHAT
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.gemini import CODEC
from tests.support.strict_gemini import FILLER, judge_gemini


def call(name: str) -> dict[str, Any]:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}


def result(name: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{name}", "content": f"{name}!"}


def contents(messages: list[dict[str, Any]], model: str = "gemini-3-pro") -> list[dict[str, Any]]:
    request = CHAT.decode_request({"model": "m", "messages": messages})
    request.model = model
    body = CODEC.encode_request(request, CODEC.context("chat", Losses()))
    assert judge_gemini(body, model) == []
    found: list[dict[str, Any]] = body["contents"]
    return found


TURN: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "", "tool_calls": [call("a"), call("b")]},
    result("b"),
    result("a"),
    {"role": "user", "content": "And now?"},
]


def test_results_of_one_turn_are_one_content() -> None:
    _, model, user = contents(TURN)
    assert [part["functionCall"]["name"] for part in model["parts"]] == ["a", "b"]
    assert [part["functionResponse"]["name"] for part in user["parts"][:2]] == ["a", "b"]
    assert user["parts"][2] == {"text": "And now?"}


@pytest.mark.parametrize(("model", "signed"), [("gemini-3-pro", FILLER), ("gemini-2.5-pro", None)])
def test_the_first_call_of_a_turn_is_signed_where_the_model_wants_it(model: str, signed: str | None) -> None:
    found = contents(TURN, model)[1]["parts"]
    assert [part.get("thoughtSignature") for part in found] == [signed, None]


def test_what_is_empty_is_left_out() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": ""},
    ]
    assert contents(messages) == [{"role": "user", "parts": [{"text": "Hi"}]}]


def test_what_the_model_said_at_once_is_one_content() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "One"},
        {"role": "assistant", "content": "moment", "tool_calls": [call("a")]},
        result("a"),
    ]
    found = contents(messages)
    assert [content["role"] for content in found] == ["user", "model", "user"] and len(found[1]["parts"]) == 3
