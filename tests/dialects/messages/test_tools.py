"""Tools and the choice among them, as messages has them."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import ToolChoiceParam, ToolUnionParam
from pydantic import TypeAdapter

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.messages.tools import put_tools
from llmproxy.dialects.model import Opaque, Request, Tool, ToolChoice
from llmproxy.errors import Untranslatable

F, G = Tool(path="tools[0]", name="f", schema={"type": "object"}), Tool(path="tools[1]", name="g")
WRITTEN_F = {"name": "f", "input_schema": {"type": "object"}}
WRITTEN_G = {"name": "g", "input_schema": {"type": "object", "properties": {}}}


def put(dropped: list[str] | None = None, *, dialect: str = "chat", **members: Any) -> dict[str, Any]:
    losses, body = Losses(), dict[str, Any]()
    members = {"tools": [F], **members}
    request = Request(dialect=dialect, model="m", paths={"parallel_tools": "parallel_tool_calls"}, **members)
    put_tools(body, request, EncodeContext(own=dialect == "messages", losses=losses))
    assert losses.dropped == (dropped or [])
    TypeAdapter(list[ToolUnionParam]).validate_python(body.get("tools", []))
    if "tool_choice" in body:
        TypeAdapter(ToolChoiceParam).validate_python(body["tool_choice"])
    return body


def test_a_tool_says_that_its_input_is_an_object() -> None:
    assert put(tools=[F, G]) == {"tools": [WRITTEN_F, WRITTEN_G]}
    loose = Tool(path="t", name="f", schema={"properties": {"a": {}}, "type": None})
    assert put(tools=[loose])["tools"][0]["input_schema"] == {"properties": {"a": {}}, "type": "object"}


def test_all_that_a_tool_can_have() -> None:
    tool = Tool(
        path="tools[0]",
        name="f",
        description="d",
        schema={"type": "object", "properties": {}},
        strict=True,
        cache={"type": "ephemeral"},
        extra={"input_examples": [{}]},
    )
    written = {"name": "f", "description": "d", "strict": True, "cache_control": {"type": "ephemeral"}}
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    assert put(["tools[0].input_examples"], tools=[tool])["tools"] == [{**written, "input_schema": closed}]
    open_schema = {"type": "object", "properties": {}}
    own = {**written, "input_schema": open_schema, "input_examples": [{}]}
    assert put(tools=[tool], dialect="messages")["tools"] == [own]


def test_older_models_know_no_strict_tools() -> None:
    strict = Tool(path="tools[0]", name="f", schema={"type": "object"}, strict=True)
    losses, body = Losses(), dict[str, Any]()
    request = Request(dialect="chat", model="claude-3-5-haiku-latest", tools=[strict])
    put_tools(body, request, EncodeContext(own=False, losses=losses))
    assert "strict" not in body["tools"][0] and losses.dropped == ["tools[0].strict"]


def test_a_custom_tool_takes_its_text_as_an_argument() -> None:
    grammar = {"syntax": "lark", "definition": "start: A"}
    tool = Tool(path="tools[0]", name="patch", description="Patches.", custom=True, grammar=grammar)
    written = put(["tools[0].grammar"], tools=[tool])["tools"][0]
    assert written["input_schema"]["required"] == ["input"]
    assert written["description"] == "Patches.\n\nThe input must follow this grammar:\nstart: A"


def test_tools_that_are_built_into_another_api_are_refused_by_name() -> None:
    tool = Opaque(path="tools[1]", dialect="responses", kind="file_search", value={"type": "file_search"})
    with pytest.raises(Untranslatable, match="file_search") as raised:
        put(tools=[F, tool])
    assert raised.value.param == "tools[1]"


def test_own_built_in_tools_servers_and_threads_stand_where_they_stood() -> None:
    search, server = {"type": "web_search_20260318", "name": "web_search"}, {"type": "url", "name": "s", "url": "u"}
    tools = [
        Opaque(dialect="messages", kind="web_search_20260318", value=search),
        Opaque(dialect="messages", kind="mcp_servers", value=server),
        Opaque(dialect="messages", kind="thread", value={"id": "t"}),
    ]
    body = put(tools=tools, dialect="messages")
    assert body == {"tools": [search], "mcp_servers": [server], "thread": {"id": "t"}}


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice(mode="auto"), {"type": "auto"}),
        (ToolChoice(mode="none"), {"type": "none"}),
        (ToolChoice(mode="required"), {"type": "any"}),
        (ToolChoice(mode="tool", name="f"), {"type": "tool", "name": "f"}),
        (ToolChoice(mode="tool"), {"type": "any"}),
    ],
)
def test_the_choice_in_all_its_forms(choice: ToolChoice, written: dict[str, Any]) -> None:
    assert put(tool_choice=choice)["tool_choice"] == written


def test_of_a_choice_among_some_the_others_are_not_shown() -> None:
    body = put(tools=[F, G], tool_choice=ToolChoice(mode="required", allowed=["g"]))
    assert body == {"tools": [WRITTEN_G], "tool_choice": {"type": "any"}}


@pytest.mark.parametrize(("mode", "dropped"), [("auto", []), ("none", []), ("required", ["tool_choice"])])
def test_without_tools_there_is_no_choice(mode: Any, dropped: list[str]) -> None:
    assert put(dropped, tools=[], tool_choice=ToolChoice(path="tool_choice", mode=mode)) == {}


def test_one_call_at_a_time() -> None:
    assert put(parallel_tools=False)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    required = put(parallel_tools=False, tool_choice=ToolChoice(mode="required"))
    assert required["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert put(parallel_tools=False, tool_choice=ToolChoice(mode="none"))["tool_choice"] == {"type": "none"}
    assert "tool_choice" not in put(parallel_tools=True)
    assert put(["parallel_tool_calls"], parallel_tools=False, tools=[]) == {}
    own = put(parallel_tools=True, tool_choice=ToolChoice(mode="auto"), dialect="messages")
    assert own["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": False}
