"""Functions, custom tools and the choice among them, in the nested form and in the flat one."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.function_tools import (
    ToolMode,
    decode_custom,
    decode_function,
    decode_mode,
    encode_schema,
    encode_tool_choice,
)
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Tool, ToolChoice
from llmproxy.errors import BadRequest


def test_a_function_is_decoded_from_both_forms() -> None:
    flat = Members({"name": "f", "x": 1}, "tools[0]")
    nested = Members({"function": {"name": "f", "x": 1}}, "tools[0]")
    inner = Members(nested.any("function"), nested.at("function"))
    assert decode_function(flat, flat) == Tool(path="tools[0]", name="f", extra={"x": 1})
    assert decode_function(nested, inner).extra == {"function": {"x": 1}}


def test_a_format_of_plain_text_is_the_same_as_none() -> None:
    tool = Members({"name": "f", "format": {"type": "text", "x": 1}}, "tools[0]")
    decoded = decode_custom(tool, tool, lambda form: form.rest, "format")
    assert decoded.grammar is None and decoded.extra == {"~format": {"type": "text"}, "format": {"x": 1}}


def test_a_mode_is_one_of_the_words() -> None:
    assert decode_mode("auto", "tool_choice") == "auto"
    with pytest.raises(BadRequest, match="tool_choice must be one of none, auto, not 'any'"):
        decode_mode("any", "tool_choice", ("none", "auto"))


def test_a_schema_of_another_dialect_is_completed() -> None:
    tool = Tool(name="f", schema={"type": "object"})
    assert encode_schema(tool, EncodeContext(losses=Losses(), own=True)) == {"type": "object"}
    assert encode_schema(tool, EncodeContext(losses=Losses())) == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("choice", "encoded"),
    [
        (ToolChoice(mode="auto"), "auto"),
        (ToolChoice(mode="tool"), "required"),
        (ToolChoice(mode="tool", name="f"), {"function": "f"}),
        (ToolChoice(mode="tool", name="g"), {"custom": "g"}),
        (ToolChoice(mode="required", allowed=["f", "g"]), {"required": [{"function": "f"}, {"custom": "g"}]}),
        (ToolChoice(mode="required", opaque={"type": "x"}), {"type": "x"}),
    ],
    ids=str,
)
def test_a_choice_names_tools_by_their_type(choice: ToolChoice, encoded: object) -> None:
    def allow_tools(mode: ToolMode, tools: list[dict[str, Any]]) -> dict[str, Any]:
        return {mode: tools}

    tools = [Tool(name="f"), Tool(name="g", custom=True)]
    context = EncodeContext(losses=Losses())
    body = encode_tool_choice(
        choice, tools, context, name_tool=lambda kind, name: {kind: name}, allow_tools=allow_tools
    )
    assert body == encoded
