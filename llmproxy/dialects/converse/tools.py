"""Tools and the choice among them, decoded and encoded.

Source: the shapes `ToolConfiguration`, `Tool` and `ToolChoice`. Whether several tools may be called at once is a field
of the model, which only Claude has. Begin reading at `decode_tools` and `put_tools`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmproxy.dialects.closed_schemas import closed_at
from llmproxy.dialects.converse.cache_points import POINT, point_of, take_point
from llmproxy.dialects.converse.models import Family
from llmproxy.dialects.converse.tables import CHOICE_MODES, CHOICE_WORDS
from llmproxy.dialects.custom_tools import SCHEMA, describe
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Opaque, Request, Tool, ToolCall, ToolChoice, ToolResult

CHOICE_FIELD, ALONE = "tool_choice", "disable_parallel_tool_use"
"""Claude's member of `additionalModelRequestFields` that says whether several tools may be called at once."""


def decode_tools(config: Members) -> list[Tool | Opaque]:
    """Return the tools of `toolConfig`."""
    tools: list[Tool | Opaque] = []
    for each in config.objects("tools"):
        if POINT in each.rest:
            marks = [tool for tool in tools if isinstance(tool, Tool)]
            point = take_point(each, marks if tools and tools[-1] in marks else [])
            tools += [] if point is None else [point]
        elif "toolSpec" in each.rest:
            tools.append(_decode_tool(Members(each.rest["toolSpec"], each.at("toolSpec"))))
        else:
            kind = next(iter(each.rest), "")
            value = each.rest.get(kind)
            name = value.get("name") if isinstance(value, dict) else None
            tools.append(
                Opaque(path=each.path, dialect="converse", kind=str(name or kind), value=each.rest, declares=True)
            )
    return tools


def _decode_tool(spec: Members) -> Tool:
    schema = Members(spec.any("inputSchema"), spec.at("inputSchema"))
    tool = Tool(
        path=spec.path,
        name=spec.needed_text("name"),
        description=spec.text("description"),
        schema=schema.object("json"),
        strict=spec.flag("strict"),
    )
    tool.extra = nested_extra(spec, schema)
    return tool


def decode_choice(config: Members) -> ToolChoice | None:
    """Return the choice in `toolConfig`."""
    choice = config.inner("toolChoice")
    word = None if choice is None else next(iter(choice.left()), None)
    if choice is None or word is None:
        return None
    if word not in CHOICE_MODES:
        wrong(choice.path, f"must be one of {', '.join(CHOICE_MODES)}, not {word[:50]!r}")
    one = Members(choice.any(word), choice.at(word))
    name = one.needed_text("name") if word == "tool" else None
    return ToolChoice(path=choice.path, mode=CHOICE_MODES[word], name=name, extra=nested_extra(choice, one))


def put_tools(body: dict[str, Any], request: Request, family: Family, context: EncodeContext) -> None:
    """Add `toolConfig`. Raises BadRequest for another dialect's built-in tools."""
    choice = request.tool_choice
    tools: list[dict[str, Any]] = []
    for tool in _offered(request, context):
        if isinstance(tool, Opaque):
            if tool.dialect != "converse":
                context.refuse_built_in(tool, "Converse")
            tools.append(tool.value)
            continue
        tools.append({"toolSpec": _encode_tool(tool, context, strict=family.strict)})
        if tool.cache is not None:
            if family.caches or context.own:
                tools.append(point_of(tool, context))
            else:
                context.drop_cache(tool)
    config: dict[str, Any] = {"tools": tools} if tools else {}
    if choice is not None:
        _put_choice(config, request, choice, context, offered=bool(tools) or context.own)
    if config:
        body["toolConfig"] = config


def _offered(request: Request, context: EncodeContext) -> Sequence[Tool | Opaque]:
    """Return the tools that may be called. Those that calls in the messages name must be there: the vendor refuses a
    conversation with calls and no tools."""
    choice, tools = request.tool_choice, request.tools
    if context.own:
        return tools
    if choice is not None and choice.allowed is not None:
        tools = [tool for tool in tools if isinstance(tool, Opaque) or tool.name in choice.allowed]
    if choice is not None and choice.mode == "none":
        tools = []
    if tools:
        return tools
    context.need_all_messages()
    blocks = [block for message in request.messages for block in message.content]
    if not any(isinstance(block, ToolCall | ToolResult) for block in blocks):
        return []
    if request.tools:
        return request.tools
    names = dict.fromkeys(block.name for block in blocks if isinstance(block, ToolCall))
    return [Tool(name=name) for name in names]


def _encode_tool(tool: Tool, context: EncodeContext, *, strict: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": tool.name}
    if tool.grammar is not None:
        context.drop(tool.where("grammar"))
    description = describe(tool)
    if description or (context.own and description is not None):
        spec["description"] = description
    spec["inputSchema"] = {"json": _encode_schema(tool, context)}
    if context.own and tool.strict is not None:
        spec["strict"] = tool.strict
    elif tool.strict and strict:
        spec["strict"] = True
    elif tool.strict:
        context.drop(tool.where("strict"))
    context.put_extra(spec, tool)
    return spec


def _encode_schema(tool: Tool, context: EncodeContext) -> dict[str, Any] | None:
    """Return the schema of a tool's input, which must be an object. A custom tool gets its text as a member."""
    if context.own:
        return tool.schema
    if tool.custom:
        return SCHEMA
    schema = {"properties": {}} if tool.schema is None else tool.schema
    if schema.get("type") is None:
        schema = {**schema, "type": "object"}
    return closed_at(schema, tool.path) if tool.strict else schema


def _put_choice(
    config: dict[str, Any], request: Request, choice: ToolChoice, context: EncodeContext, *, offered: bool
) -> None:
    """Add `toolChoice`. There is no choice of none: then there are no tools, unless the messages need them."""
    if not offered or choice.mode == "none":
        if (choice.mode == "none") == offered and choice.mode != "auto":
            context.drop(request.where("tool_choice"))
        context.drop_extra(choice)
        return
    word = CHOICE_WORDS[choice.mode]
    if choice.mode == "tool" and choice.name is None:
        word = CHOICE_WORDS["required"]
    config["toolChoice"] = {word: {"name": choice.name} if word == "tool" else {}}
    context.put_extra(config["toolChoice"], choice)
