"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmproxy.dialects.chat.tools import decode_choice, decode_tools, encode_choice, encode_tool
from llmproxy.dialects.encode_context import EncodeContext, Losses, Options
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Opaque, Tool, ToolChoice
from llmproxy.errors import BadRequest

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}


def choice(**members: Any) -> ToolChoice | None:
    return decode_choice(Members(members), {})


def test_functions_and_custom_tools() -> None:
    schema = {"type": "object"}
    grammar = {"syntax": "lark", "definition": "start: /a/"}
    body = {
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": False}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": grammar}}},
            {"type": "custom", "custom": {"name": "h", "format": {"type": "text"}}},
            {"function": {"name": "i"}, "cache_control": {"type": "ephemeral"}},
        ]
    }
    read = decode_tools(Members(body))
    assert [msgspec.structs.replace(tool, names={}) if isinstance(tool, Tool) else tool for tool in read] == [
        Tool(path="tools[0]", name="f", description="d", schema=schema, strict=False),
        Tool(path="tools[1]", name="g", custom=True, grammar=grammar),
        Tool(path="tools[2]", name="h", custom=True, extra={"custom": {"~format": {"type": "text"}}}),
        Tool(path="tools[3]", name="i", cache={"type": "ephemeral"}),
    ]
    places = [
        tool.where(name) for tool, name in zip(read, ("strict", "grammar"), strict=False) if isinstance(tool, Tool)
    ]
    assert places == ["tools[0].function.strict", "tools[1].custom.format.grammar"]


def test_what_is_built_in_belongs_to_chat() -> None:
    body = {"tools": [{"type": "robot", "x": 1}], "web_search_options": {"search_context_size": "low"}}
    assert decode_tools(Members(body)) == [
        Opaque(path="tools[0]", dialect="chat", kind="robot", value={"type": "robot", "x": 1}, declares=True),
        Opaque(
            path="web_search_options",
            dialect="chat",
            kind="web_search_options",
            value={"search_context_size": "low"},
            declares=True,
        ),
    ]


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_the_choice_in_one_word(mode: Any) -> None:
    read = choice(tool_choice=mode)
    assert read == ToolChoice(path="tool_choice", mode=mode)
    assert encode_choice(read, [], EncodeContext(own=False, losses=Losses())) == mode


@pytest.mark.parametrize("kind", ["function", "custom"])
def test_the_choice_of_one_tool(kind: str) -> None:
    said = {"type": kind, kind: {"name": "f"}}
    read = choice(tool_choice=said)
    assert read == ToolChoice(path="tool_choice", mode="tool", name="f", custom=kind == "custom")
    assert encode_choice(read, [], EncodeContext(losses=Losses(), options=Options(custom_tools=True))) == said


def test_a_choice_of_a_custom_tool_is_known_by_the_tool() -> None:
    tools = [Tool(name="g", custom=True)]
    knows = EncodeContext(losses=Losses(), options=Options(custom_tools=True))
    assert encode_choice(ToolChoice(mode="tool", name="g"), tools, knows) == {"type": "custom", "custom": {"name": "g"}}
    others = encode_choice(ToolChoice(mode="tool", name="g"), tools, EncodeContext(losses=Losses()))
    assert others == {"type": "function", "function": {"name": "g"}}


def test_the_choice_among_some_tools() -> None:
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}
    said = {"type": "allowed_tools", "allowed_tools": allowed}
    read = choice(tool_choice=said)
    assert read == ToolChoice(path="tool_choice", mode="auto", allowed=["f"])
    assert encode_choice(read, [], EncodeContext(own=False, losses=Losses())) == said


def test_the_legacy_choice() -> None:
    paths: dict[str, str] = {}
    assert decode_choice(Members({"function_call": "auto"}), paths) == ToolChoice(path="function_call", mode="auto")
    assert paths == {"tool_choice": "function_call"}
    named = choice(function_call={"name": "f"})
    assert named == ToolChoice(path="function_call", mode="tool", name="f")
    assert choice() is None


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "robot"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice.allowed_tools.mode"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "mcp"}]}}},
            "tool_choice.allowed_tools.tools[0].type",
        ),
        ({"function_call": "required"}, "function_call"),
        ({"function_call": {}}, "function_call.name"),
    ],
    ids=str,
)
def test_a_wrong_choice_is_named(members: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        choice(**members)
    assert caught.value.param == path


@pytest.mark.parametrize(
    ("tool", "path"),
    [
        ({"type": 5}, "tools[0].type"),
        ({"type": "function"}, "tools[0].function"),
        ({"type": "function", "function": {"name": "f", "parameters": []}}, "tools[0].function.parameters"),
        ({"type": "custom", "custom": {}}, "tools[0].custom.name"),
        ({"type": "custom", "custom": {"name": "g", "format": {"type": "x"}}}, "tools[0].custom.format.type"),
        ({"type": "custom", "custom": {"name": "g", "format": {"type": "grammar"}}}, "tools[0].custom.format.grammar"),
    ],
    ids=str,
)
def test_a_wrong_tool_is_named(tool: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_tools(Members({"tools": [tool]}))
    assert caught.value.param == path


def test_what_other_dialects_add_to_a_tool_is_listed() -> None:
    losses = Losses()
    tool = Tool(path="tools[0]", name="f", schema={}, cache={"type": "ephemeral"}, extra={"defer_loading": True})
    written = encode_tool(tool, EncodeContext(own=False, losses=losses))
    assert written == {"type": "function", "function": {"name": "f", "parameters": EMPTY}}
    assert losses.dropped == ["tools[0].cache_control", "tools[0].defer_loading"]


def test_a_tool_without_arguments_says_that_there_are_none() -> None:
    tool = Tool(name="f", schema={"type": "object"})
    assert encode_tool(tool, EncodeContext(own=False, losses=Losses()))["function"]["parameters"] == EMPTY
    assert encode_tool(tool, EncodeContext(own=True, losses=Losses()))["function"]["parameters"] == {"type": "object"}


def test_a_tool_that_is_built_into_another_api_is_refused() -> None:
    with pytest.raises(BadRequest, match="web_search_20250305") as caught:
        tool = Opaque(path="tools[1]", dialect="x", kind="web_search_20250305", value={})
        encode_tool(tool, EncodeContext(losses=Losses()))
    assert caught.value.param == "tools[1]"
