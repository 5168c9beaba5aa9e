"""Tools and the choice among them, decoded and encoded.

Source: the SDK's `function_tool_param`, `custom_tool_param`, `tool_choice_*_param`. Every tool that is
no function is `Opaque`; those that the client runs itself hold the functions that stand for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmproxy.dialects import function_tools
from llmproxy.dialects.content import opaque
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.function_tools import TOOL_KINDS, ToolMode, decode_custom, decode_function, decode_mode
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Opaque, Tool, ToolChoice
from llmproxy.dialects.responses.client_tools import KINDS, function_of, runs_at_client

NAMESPACE = "namespace"


def decode_tools(body: Members) -> list[Tool | Opaque]:
    """Return `tools`, of a request or of an item that adds some."""
    return [_decode_tool(tool) for tool in body.objects("tools")]


def _decode_tool(tool: Members) -> Tool | Opaque:
    kind = tool.needed_text("type")
    if kind == "function":
        return decode_function(tool, tool)
    if kind == "custom":
        return decode_custom(tool, tool, _decode_grammar, "format")
    built_in = opaque(tool, kind, "responses")
    built_in.declares = True
    if kind == NAMESPACE:
        built_in.tools = _decode_namespace(Members(built_in.value, tool.path))
    elif runs_at_client(built_in.value):
        built_in.tools = [function_of(built_in)]
    return built_in


def _decode_namespace(namespace: Members) -> list[Tool]:
    """Return the functions below a name."""
    name, about = namespace.needed_text("name"), namespace.text("description")
    tools: list[Tool] = []
    for member in namespace.objects("tools"):
        tool = _decode_tool(member)
        for each in [tool] if isinstance(tool, Tool) else tool.tools:
            each.namespace = name
            each.description = "\n\n".join(filter(None, (each.description, about))) or None
            tools.append(each)
    return tools


def _decode_grammar(form: Members) -> dict[str, Any]:
    return {"syntax": form.needed_text("syntax"), "definition": form.needed_text("definition")}


def decode_choice(body: Members) -> ToolChoice | None:
    """Return `tool_choice`."""
    choice, path = body.any("tool_choice"), "tool_choice"
    if choice is None:
        return None
    if isinstance(choice, str):
        return ToolChoice(path=path, mode=decode_mode(choice, path))
    if not isinstance(choice, dict):
        wrong(path, f"must be a string or an object, not {name_of(choice)}")
    members = Members(choice, path)
    kind = members.needed_text("type")
    if kind in TOOL_KINDS:
        name = members.needed_text("name")
        return ToolChoice(path=path, mode="tool", name=name, custom=kind == "custom", extra=members.left())
    if kind == "allowed_tools":
        return _decode_allowed(choice, members)
    if kind in KINDS:
        return ToolChoice(path=path, mode="tool", name=kind, opaque=choice)
    return ToolChoice(path=path, mode="required", opaque=choice)


def _decode_allowed(choice: dict[str, Any], members: Members) -> ToolChoice:
    """Return a choice among some tools, of which other dialects have only those that the client runs."""
    path, mode = members.path, decode_mode(members.needed_text("mode"), members.path)
    tools = list(members.objects("tools"))
    names = [each for tool in tools if tool.any("type") in TOOL_KINDS and (each := tool.text("name")) is not None]
    if len(names) == len(tools):
        return ToolChoice(path=path, mode=mode, allowed=names, extra=members.left())
    if not names and mode == "required":
        return ToolChoice(path=path, mode="required", opaque=choice)
    return ToolChoice(path=path, mode=mode if names else "none", allowed=names or None, opaque=choice)


def encode_tool(tool: Tool | Opaque, context: EncodeContext) -> dict[str, Any]:
    """Return one of `tools`. Raises BadRequest for another dialect's built-in tool."""
    if isinstance(tool, Opaque):
        if tool.dialect != "responses":
            context.refuse_built_in(tool, "the Responses API")
        return tool.value
    context.drop_cache(tool)
    body: dict[str, Any] = {"type": TOOL_KINDS[tool.custom], "name": tool.name}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.custom:
        if tool.grammar is not None:
            body["format"] = {"type": "grammar", **tool.grammar}
    else:
        # Both must be there. In other dialects strictness is off unless asked for; here it would be on.
        body["parameters"] = function_tools.encode_schema(tool, context)
        body["strict"] = tool.strict if tool.strict is not None or context.own else False
    context.put_extra(body, tool)
    return body


def encode_choice(choice: ToolChoice, tools: Sequence[Tool | Opaque], context: EncodeContext) -> str | dict[str, Any]:
    """Return `tool_choice`."""
    return function_tools.encode_tool_choice(choice, tools, context, name_tool=_name_tool, allow_tools=_allow_tools)


def _name_tool(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, "name": name}


def _allow_tools(mode: ToolMode, tools: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "allowed_tools", "mode": mode, "tools": tools}
