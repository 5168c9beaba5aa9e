from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Opaque, Tool, ToolChoice
from llmproxy.dialects.responses.tools import decode_choice, decode_tools, encode_choice, encode_tool
from llmproxy.errors import Untranslatable

FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}


@pytest.mark.parametrize(
    "tool",
    [
        FUNCTION,
        {**FUNCTION, "defer_loading": True},
        {"type": "custom", "name": "f", "description": "d"},
        {"type": "custom", "name": "f", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
        {"type": "mcp", "server_label": "s", "server_url": "https://h", "authorization": "t"},
        {"type": "namespace", "name": "n", "description": "d", "tools": [FUNCTION]},
    ],
)
def test_a_tool_comes_back_as_it_was(tool: dict[str, Any]) -> None:
    [read] = decode_tools(Members({"tools": [tool]}))
    assert encode_tool(read, EncodeContext(own=True, losses=Losses())) == tool


@pytest.mark.parametrize(
    "choice",
    [
        "auto",
        "none",
        "required",
        {"type": "function", "name": "f"},
        {"type": "custom", "name": "free"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "s"}]},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "s", "name": "t"}]},
        {"type": "web_search"},
        {"type": "mcp", "server_label": "s", "name": "n"},
    ],
)
def test_a_choice_comes_back_as_it_was(choice: Any) -> None:
    tools = decode_tools(Members({"tools": [FUNCTION, {"type": "custom", "name": "free"}]}))
    read = decode_choice(Members({"tool_choice": choice}))
    assert read is not None and encode_choice(read, tools, EncodeContext(own=True, losses=Losses())) == choice


def test_a_tool_of_another_provider_is_refused_by_name() -> None:
    tool = Opaque(path="tools[1]", dialect="messages", kind="web_search_20250305", value={})
    with pytest.raises(Untranslatable, match="web_search_20250305") as refused:
        encode_tool(tool, EncodeContext(own=False, losses=Losses()))
    assert refused.value.param == "tools[1]"


def test_of_others_what_they_do_not_say_is_not_strict() -> None:
    losses = Losses()
    tool = Tool(path="tools[0]", name="f", cache={"type": "ephemeral"}, extra={"eager": True})
    written = encode_tool(tool, EncodeContext(own=False, losses=losses))
    assert written["strict"] is False and written["parameters"]["type"] == "object"
    assert losses.dropped == ["tools[0].cache_control", "tools[0].eager"]


def test_a_custom_tool_is_chosen_as_such() -> None:
    tools = [Tool(name="free", custom=True)]
    written = encode_choice(ToolChoice(mode="tool", name="free"), tools, EncodeContext(own=False, losses=Losses()))
    assert written == {"type": "custom", "name": "free"}


@pytest.mark.parametrize("schema", [None, {}, {"type": "object"}])
def test_a_tool_without_arguments_says_that_there_are_none(schema: dict[str, Any] | None) -> None:
    written = encode_tool(Tool(name="f", schema=schema), EncodeContext(own=False, losses=Losses()))
    assert written["parameters"] == {"type": "object", "properties": {}}
