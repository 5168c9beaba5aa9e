"""Prompt-cache marks in translated requests."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.messages.cache_marks import put_marks
from llmproxy.dialects.messages.request_encode import encode_request
from llmproxy.dialects.responses import CODEC as RESPONSES

MARK = {"type": "ephemeral"}


def said(*roles: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": f"{at}"} for at, role in enumerate(roles)]


def marked(body: dict[str, Any], **options: Any) -> tuple[dict[str, Any], int]:
    context = EncodeContext(losses=Losses(), options=Options(**{"prompt_cache": "auto", **options}))
    body = copy.deepcopy(body)
    put_marks(body, context)
    return body, context.losses.cache_marks


def in_messages(body: dict[str, Any]) -> list[int]:
    return [at for at, each in enumerate(body["messages"]) if "cache_control" in str(each)]


def test_a_coding_agent_over_another_api_caches() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "done"}
    request = RESPONSES.decode_request(
        {
            "model": "claude-opus-5-5",
            "instructions": "S",
            "tools": [tool, {**tool, "name": "g"}],
            "input": [{"role": "user", "content": "go"}, call, result],
        }
    )
    losses = Losses(strict=True)
    body = encode_request(request, EncodeContext(losses=losses, options=Options(prompt_cache="auto")))
    assert "cache_control" not in body["tools"][0] and body["tools"][1]["cache_control"] == MARK
    assert body["system"] == [{"type": "text", "text": "S", "cache_control": MARK}]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "go", "cache_control": MARK}]
    assert body["messages"][2]["content"][-1]["cache_control"] == MARK and losses.cache_marks == 4


def test_a_single_question_pays_for_no_writing() -> None:
    question = {"system": "S", "messages": said("user")}
    assert marked(question) == (question, 0)
    assert marked(question, prompt_cache="always")[1] == 2
    going_on = {"messages": said("user", "assistant", "user")}
    assert marked(going_on)[1] == 2 and marked(going_on, prompt_cache="off") == (going_on, 0)


def test_the_last_two_turns_are_marked_at_their_ends() -> None:
    body, count = marked({"messages": said("user", "assistant", "user", "user", "assistant", "user")})
    assert (in_messages(body), count) == ([3, 5], 2)


@pytest.mark.parametrize("there", [1, 2, 3, 4])
def test_there_are_never_more_than_four(there: int) -> None:
    blocks = [{"type": "text", "text": "x", "cache_control": MARK} for _ in range(there)]
    messages = [{"role": "user", "content": blocks}, *said("assistant", "user", "assistant", "user")]
    body, count = marked({"system": "S", "tools": [{"name": "f"}], "messages": messages})
    assert str(body).count("cache_control") == 4 and count == 4 - there


def test_a_client_that_chooses_lifetimes_is_left_alone() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    body = {"messages": said("user", "assistant", "user"), "tools": [{"name": "f", "cache_control": mark}]}
    assert marked(body) == (body, 0)


def test_what_cannot_be_marked_is_not() -> None:
    tools = [{"name": "f"}, {"name": "g", "defer_loading": True}]
    body, _ = marked({"messages": said("user"), "tools": tools})
    assert [("cache_control" in tool) for tool in body["tools"]] == [True, False]
