"""What models refuse, in requests of other dialects."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat import CODEC as CHAT
from llmproxy.dialects.converse import CODEC
from llmproxy.dialects.encode_context import Losses

CLAUDE, LLAMA, MISTRAL = "anthropic.claude-opus-5-5-v1:0", "meta.llama3-3-70b-instruct-v1:0", "mistral.large-v1:0"
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
NAMED = {"type": "function", "function": {"name": "a"}}


def written(model: str, **members: Any) -> tuple[dict[str, Any], Losses]:
    request = CHAT.decode_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members})
    request.model, losses = model, Losses()
    return CODEC.encode_request(request, CODEC.context("chat", losses)), losses


def test_the_rules_of_claude_hold() -> None:
    body, losses = written(CLAUDE, tools=TOOLS, tool_choice="required", temperature=0.5, reasoning_effort="none")
    assert body["toolConfig"]["toolChoice"] == {"auto": {}} and "inferenceConfig" not in body
    assert {"tool_choice", "temperature", "reasoning_effort"} <= losses.adapted.keys()


@pytest.mark.parametrize(
    ("model", "choice", "expected", "names"),
    [
        (LLAMA, "required", {"auto": {}}, ["a", "b"]),
        (LLAMA, NAMED, {"auto": {}}, ["a"]),
        (MISTRAL, "required", {"any": {}}, ["a", "b"]),
        (MISTRAL, NAMED, {"any": {}}, ["a"]),
        ("amazon.nova-lite-v1:0", NAMED, {"tool": {"name": "a"}}, ["a", "b"]),
    ],
)
def test_a_tool_is_forced_as_far_as_the_model_can(model: str, choice: Any, expected: Any, names: list[str]) -> None:
    body, losses = written(model, tools=TOOLS, tool_choice=choice)
    config = body["toolConfig"]
    assert config["toolChoice"] == expected
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == names
    assert bool(losses.adapted) == (model == LLAMA or (model == MISTRAL and choice is NAMED))


def test_system_messages_among_the_others_are_the_users() -> None:
    later = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "content": "c"}]
    body, losses = written(LLAMA, messages=later)
    assert body["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}]
    assert list(losses.adapted) == ["messages[1].role"]
