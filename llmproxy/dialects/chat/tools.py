"""Tools and the choice among them, decoded and encoded. The legacy `functions` and `function_call` are only decoded.

Source: the SDK's `chat_completion_tool_union_param` and `chat_completion_tool_choice_option_param`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects import function_tools
from llmproxy.dialects.chat.tables import WEB_SEARCH
from llmproxy.dialects.content import opaque
from llmproxy.dialects.custom_tools import SCHEMA, describe
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.function_tools import TOOL_KINDS, ToolMode, decode_custom, decode_function, decode_mode
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Opaque, Tool, ToolChoice

_TOOLS = frozenset(("tools", "functions", WEB_SEARCH))
_ANY = "any"
"""Mistral's older word for `required`."""


def decode_tools(body: Members) -> list[Tool | Opaque]:
    """Return `tools`, `functions` and `web_search_options`."""
    if body.rest.keys().isdisjoint(_TOOLS):
        return []
    tools = [_decode_tool(tool) for tool in body.objects("tools")]
    tools += [decode_function(function, function) for function in body.objects("functions")]
    search = body.object(WEB_SEARCH)
    if search is not None:
        tools.append(Opaque(path=WEB_SEARCH, dialect="chat", kind=WEB_SEARCH, value=search, declares=True))
    return tools


def _decode_tool(tool: Members) -> Tool | Opaque:
    kind = tool.text("type") or "function"
    if kind == "function":
        return decode_function(tool, Members(tool.any("function"), tool.at("function")))
    if kind == "custom":
        return decode_custom(tool, Members(tool.any("custom"), tool.at("custom")), _grammar, "custom.format.grammar")
    built_in = opaque(tool, kind, "chat")
    built_in.declares = True
    return built_in


def _grammar(form: Members) -> dict[str, Any]:
    return form.object("grammar") or form.missing("grammar")


def decode_choice(body: Members, paths: dict[str, str]) -> ToolChoice | None:
    """Return `tool_choice`, or the legacy `function_call`."""
    choice, function = body.any("tool_choice"), body.any("function_call")
    if choice is not None:
        return _decode_choice(choice, "tool_choice")
    if function is None:
        return None
    path = paths["tool_choice"] = "function_call"
    if isinstance(function, str):
        return ToolChoice(path=path, mode=decode_mode(function, path, ("none", "auto")))
    members = Members(function, path)
    return ToolChoice(path=path, mode="tool", name=members.needed_text("name"), extra=members.left())


def _decode_choice(choice: object, path: str) -> ToolChoice:
    if isinstance(choice, str):
        return ToolChoice(path=path, mode="required" if choice == _ANY else decode_mode(choice, path))
    if not isinstance(choice, dict):
        wrong(path, f"must be a string or an object, not {name_of(choice)}")
    members = Members(choice, path)
    kind = members.word("type", (*TOOL_KINDS, "allowed_tools")) or members.missing("type")
    inner = Members(members.any(kind), members.at(kind))
    if kind == "allowed_tools":
        mode = inner.word("mode", ("auto", "required")) or inner.missing("mode")
        allowed = [_decode_allowed(tool) for tool in inner.objects("tools")]
        return ToolChoice(path=path, mode=decode_mode(mode, path), allowed=allowed, extra=inner.left())
    name = inner.needed_text("name")
    return ToolChoice(path=path, mode="tool", name=name, custom=kind == "custom", extra=nested_extra(members, inner))


def _decode_allowed(tool: Members) -> str:
    """Return the name of one of the allowed tools: `{"type": "function", "function": {"name": ...}}`."""
    kind = tool.word("type", TOOL_KINDS) or "function"
    return Members(tool.any(kind), tool.at(kind)).needed_text("name")


def encode_tool(tool: Tool | Opaque, context: EncodeContext) -> dict[str, Any]:
    """Return one of `tools`. Raises BadRequest for another dialect's built-in tool."""
    if isinstance(tool, Opaque):
        if tool.dialect != "chat":
            context.refuse_built_in(tool, "chat")
        return tool.value
    if tool.custom and not context.takes_custom:
        tool = msgspec.structs.replace(tool, custom=False, description=describe(tool), schema=SCHEMA)
        if tool.grammar is not None:
            context.drop(tool.where("grammar"))
    kind = TOOL_KINDS[tool.custom]
    inner: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.custom:
        inner["format"] = {"type": "grammar", "grammar": tool.grammar} if tool.grammar is not None else None
    else:
        schema = None if tool.schema is None else function_tools.encode_schema(tool, context)
        inner |= {"parameters": schema, "strict": tool.strict}
    body = {"type": kind, kind: {name: value for name, value in inner.items() if value is not None}}
    context.put_cache(body, tool)
    context.put_extra(body, tool)
    return body


def encode_choice(choice: ToolChoice, tools: Sequence[Tool | Opaque], context: EncodeContext) -> str | dict[str, Any]:
    """Return `tool_choice`."""
    if not context.takes_custom:
        choice = msgspec.structs.replace(choice, custom=False)
        tools = [msgspec.structs.replace(tool, custom=False) if isinstance(tool, Tool) else tool for tool in tools]
    return function_tools.encode_tool_choice(choice, tools, context, name_tool=_name_tool, allow_tools=_allow_tools)


def _name_tool(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, kind: {"name": name}}


def _allow_tools(mode: ToolMode, tools: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
