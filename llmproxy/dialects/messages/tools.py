"""Tools and the choice among them, decoded and encoded.

Source: the SDK's `tool_union_param` and `tool_choice_param`. A custom tool of another dialect becomes a tool whose only
argument is its text. Begin reading at `decode_tools` and `put_tools`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.claude_models import claude_of
from llmproxy.dialects.closed_schemas import closed_at
from llmproxy.dialects.content import opaque
from llmproxy.dialects.custom_tools import SCHEMA, describe
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.members import Members
from llmproxy.dialects.messages.client_tools import client_functions
from llmproxy.dialects.messages.tables import CHOICE_MODES, CHOICE_TYPES, SERVERS, THREAD
from llmproxy.dialects.model import Opaque, Request, Tool, ToolChoice


def decode_tools(members: Members) -> list[Tool | Opaque]:
    """Return the tools, and what else brings content into the request from elsewhere."""
    tools = [_decode_tool(tool) for tool in members.objects("tools")]
    for server in members.objects(SERVERS):
        tools.append(Opaque(path=server.path, dialect="messages", kind=SERVERS, value=server.rest, declares=True))
    thread = members.object(THREAD)
    if thread is not None:
        tools.append(Opaque(path=THREAD, dialect="messages", kind=THREAD, value=thread))
    return tools


def _decode_tool(tool: Members) -> Tool | Opaque:
    kind = tool.text("type")
    if kind not in (None, "custom"):
        built_in = opaque(tool, kind, "messages")
        built_in.declares, built_in.tools = True, client_functions(built_in)
        return built_in
    schema = tool.object("input_schema")
    return Tool(
        path=tool.path,
        name=tool.needed_text("name"),
        description=tool.text("description"),
        schema=tool.missing("input_schema") if schema is None else schema,
        strict=tool.flag("strict"),
        cache=tool.any("cache_control"),
        extra=tool.left(),
    )


def decode_choice(members: Members, paths: dict[str, str]) -> tuple[ToolChoice | None, bool | None]:
    """Return the choice, and whether several tools may be called at once."""
    choice = members.inner("tool_choice")
    if choice is None:
        return None, None
    kind = choice.word("type", tuple(CHOICE_MODES)) or choice.missing("type")
    alone = choice.flag("disable_parallel_tool_use")
    if alone is not None:
        paths["parallel_tools"] = choice.at("disable_parallel_tool_use")
    name = choice.needed_text("name") if kind == "tool" else None
    decoded = ToolChoice(path=choice.path, mode=CHOICE_MODES[kind], name=name, extra=choice.left())
    return decoded, None if alone is None else not alone


def put_tools(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    """Add the tools, the choice among them, and what else brings content from elsewhere. Raises BadRequest for another
    dialect's built-in tools."""
    choice = request.tool_choice
    tools: list[dict[str, Any]] = []  # calling `list[...]` takes 2,800 instructions
    strict = claude_of(request.model).strict
    for tool in request.tools:
        if isinstance(tool, Opaque):
            _put_opaque(body, tools, tool, context)
        elif choice is None or choice.allowed is None or tool.name in choice.allowed:
            # The vendor has no choice among some tools: the others are left out.
            tools.append(_encode_tool(tool, context, strict=strict))
    if tools:
        body["tools"] = tools
    offered = bool(tools or SERVERS in body)
    if choice is not None:
        _put_choice(body, request, choice, context, offered=offered or context.own)
    if request.parallel_tools is not None:
        _put_parallel(body, request, request.parallel_tools, context, offered=offered)


def _put_opaque(body: dict[str, Any], tools: list[dict[str, Any]], tool: Opaque, context: EncodeContext) -> None:
    if tool.dialect != "messages":
        context.refuse_built_in(tool, "a Messages API")
    if tool.kind == SERVERS:
        body.setdefault(SERVERS, []).append(tool.value)
    elif tool.kind == THREAD:
        body[THREAD] = tool.value
    else:
        tools.append(tool.value)


def _encode_tool(tool: Tool, context: EncodeContext, *, strict: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"name": tool.name}
    description = _encode_description(tool, context)
    if description is not None:
        body["description"] = description
    body["input_schema"] = _encode_schema(tool, context)
    if context.own and tool.strict is not None:
        body["strict"] = tool.strict
    elif tool.strict and strict:
        body["strict"] = True
    elif tool.strict:
        context.drop(tool.where("strict"))
    if tool.cache is not None:
        body["cache_control"] = tool.cache
    context.put_extra(body, tool)
    return body


def _encode_schema(tool: Tool, context: EncodeContext) -> dict[str, Any]:
    """Return the schema of a tool's input, which must be an object. A custom tool gets its text as a member."""
    if tool.custom:
        return SCHEMA
    schema = {"properties": {}} if tool.schema is None else tool.schema
    if schema.get("type") is None:
        schema = {**schema, "type": "object"}
    return closed_at(schema, tool.path) if tool.strict and not context.own else schema


def _encode_description(tool: Tool, context: EncodeContext) -> str | None:
    """Return the description of a tool, with its grammar, which the vendor does not enforce."""
    if tool.grammar is None:
        return tool.description
    context.drop(tool.where("grammar"))
    return describe(tool)


def _put_choice(
    body: dict[str, Any], request: Request, choice: ToolChoice, context: EncodeContext, *, offered: bool
) -> None:
    """Add `tool_choice`, which the vendor refuses without tools. Nothing is lost then unless a tool was forced."""
    if not offered:
        if choice.mode in ("required", "tool"):
            context.drop(request.where("tool_choice"))
        context.drop_extra(choice)
        return
    members: dict[str, Any] = {"type": CHOICE_TYPES[choice.mode]}
    if choice.mode == "tool":
        if choice.name is None:
            members["type"] = CHOICE_TYPES["required"]
        else:
            members["name"] = choice.name
    context.put_extra(members, choice)
    body["tool_choice"] = members


def _put_parallel(
    body: dict[str, Any], request: Request, parallel: bool, context: EncodeContext, *, offered: bool
) -> None:
    if not offered and not context.own:
        context.drop(request.where("parallel_tools"))
    elif not parallel or context.own:
        choice = body.setdefault("tool_choice", {"type": "auto"})
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = not parallel
