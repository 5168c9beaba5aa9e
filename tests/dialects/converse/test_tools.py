"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.chat import CODEC as CHAT
from llmproxy.dialects.converse import CODEC
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Opaque, Tool
from llmproxy.errors import BadRequest

CLAUDE = "anthropic.claude-opus-4-6-v1"
SPEC = {"name": "t", "description": "Does", "inputSchema": {"json": {"type": "object"}}, "strict": True}
FUNCTION = {"type": "function", "function": {"name": "t", "parameters": {"type": "object"}, "strict": True}}
CALLED = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "1"},
]


def read(**config: Any) -> Any:
    body = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "toolConfig": config}
    return CODEC.decode_request(body)


def written(model: str = CLAUDE, losses: Losses | None = None, **members: Any) -> dict[str, Any]:
    request = CHAT.decode_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members})
    request.model = model
    return CODEC.encode_request(request, CODEC.context("chat", losses or Losses()))


def test_a_tool_is_read() -> None:
    [tool] = read(tools=[{"toolSpec": SPEC}]).tools
    assert isinstance(tool, Tool)
    assert (tool.name, tool.description, tool.schema, tool.strict) == ("t", "Does", {"type": "object"}, True)


def test_a_tool_of_the_provider_is_declared_alone() -> None:
    [tool] = read(tools=[{"systemTool": {"name": "nova_grounding"}}]).tools
    assert isinstance(tool, Opaque) and tool.declares and tool.kind == "nova_grounding"


@pytest.mark.parametrize(
    ("choice", "mode", "name"),
    [({"auto": {}}, "auto", None), ({"any": {}}, "required", None), ({"tool": {"name": "t"}}, "tool", "t")],
)
def test_a_choice_is_read(choice: dict[str, Any], mode: str, name: str | None) -> None:
    read_choice = read(tools=[{"toolSpec": SPEC}], toolChoice=choice).tool_choice
    assert (read_choice.mode, read_choice.name) == (mode, name)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"toolChoice": {"never": {}}}, "toolConfig.toolChoice"),
        ({"toolChoice": {"tool": {}}}, "toolConfig.toolChoice.tool.name"),
        ({"tools": [{"toolSpec": {}}]}, "toolConfig.tools[0].toolSpec.inputSchema"),
        ({"tools": [{"toolSpec": {"inputSchema": {}}}]}, "toolConfig.tools[0].toolSpec.name"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**config)
    assert refused.value.param == path


def test_a_strict_tool_gets_a_closed_schema_where_the_model_knows_that() -> None:
    [tool] = written(tools=[FUNCTION])["toolConfig"]["tools"]
    assert tool["toolSpec"]["strict"] is True
    assert tool["toolSpec"]["inputSchema"]["json"]["additionalProperties"] is False
    losses = Losses()
    [tool] = written("amazon.nova-pro-v1:0", losses, tools=[FUNCTION])["toolConfig"]["tools"]
    assert "strict" not in tool["toolSpec"] and losses.dropped == ["tools[0].function.strict"]


def test_without_a_choice_of_none_there_are_no_tools_unless_the_messages_need_them() -> None:
    losses = Losses()
    assert "toolConfig" not in written(losses=losses, tools=[FUNCTION], tool_choice="none") and not losses.dropped
    body = written(losses=losses, tools=[FUNCTION], tool_choice="none", messages=CALLED)
    assert "toolChoice" not in body["toolConfig"] and losses.dropped == ["tool_choice"]


def test_tools_whose_calls_are_in_the_messages_are_declared() -> None:
    [tool] = written(messages=CALLED)["toolConfig"]["tools"]
    assert tool == {"toolSpec": {"name": "t", "inputSchema": {"json": {"properties": {}, "type": "object"}}}}


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        (None, {"type": "auto"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "t"}}, {"type": "tool", "name": "t"}),
    ],
)
def test_only_claude_can_be_asked_for_one_call_at_a_time(choice: Any, field: dict[str, Any]) -> None:
    members = {"tools": [FUNCTION], "parallel_tool_calls": False, **({} if choice is None else {"tool_choice": choice})}
    fields = written(**members)["additionalModelRequestFields"]
    assert fields == {"tool_choice": {**field, "disable_parallel_tool_use": True}}
    losses = Losses()
    assert "additionalModelRequestFields" not in written("amazon.nova-pro-v1:0", losses, **members)
    assert "parallel_tool_calls" in losses.dropped


def test_a_choice_without_tools_is_listed_when_it_forces_one() -> None:
    losses = Losses()
    written(losses=losses, tool_choice="required")
    assert losses.dropped == ["tool_choice"]
