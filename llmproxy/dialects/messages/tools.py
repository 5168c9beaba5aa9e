"""Writing the tools of a request and the choice among them.

Source: the SDK's `tool_union_param` and `tool_choice_param`. A free-form tool of another dialect becomes one whose only
argument is its text. Begin reading at `put_tools`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.custom_tools import INPUT, SCHEMA
from llmproxy.dialects.messages.extras import put_extra
from llmproxy.dialects.messages.models import model_of
from llmproxy.dialects.messages.request_decode import SERVERS, THREAD
from llmproxy.dialects.messages.schemas import closed_at
from llmproxy.dialects.model import Opaque, Request, Tool, ToolChoice
from llmproxy.wire.json import write_value

_CHOICES = {"auto": "auto", "required": "any", "tool": "tool", "none": "none"}


def put_tools(body: dict[str, Any], request: Request, *, own: bool, losses: Losses) -> None:
    """Add the tools, the choice among them, and what else brings content from elsewhere. Raises BadRequest for another
    dialect's built-in tools."""
    choice, tools = request.tool_choice, list[dict[str, Any]]()
    strict = model_of(request.model).strict
    for tool in request.tools:
        if isinstance(tool, Opaque):
            _put_foreign(body, tools, tool, losses)
        elif choice is None or choice.allowed is None or tool.name in choice.allowed:
            # The vendor knows no choice among some: the others are not shown.
            tools.append(_tool(tool, own=own, strict=strict, losses=losses))
    if tools:
        body["tools"] = tools
    offered = bool(tools or SERVERS in body)
    if choice is not None:
        _put_choice(body, request, choice, offered=offered or own, losses=losses)
    if request.parallel_tools is not None:
        _put_parallel(body, request, request.parallel_tools, offered=offered, own=own, losses=losses)


def _put_foreign(body: dict[str, Any], tools: list[dict[str, Any]], tool: Opaque, losses: Losses) -> None:
    if tool.dialect != "messages":
        losses.refuse(tool.path, f"The tool {tool.kind!r} is built into another API and unknown to a Messages API")
    if tool.kind == SERVERS:
        body.setdefault(SERVERS, []).append(tool.value)
    elif tool.kind == THREAD:
        body[THREAD] = tool.value
    else:
        tools.append(tool.value)


def _tool(tool: Tool, *, own: bool, strict: bool, losses: Losses) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name, "description": _description(tool, losses)}
    if written["description"] is None:
        del written["description"]
    written["input_schema"] = _schema(tool, own=own)
    if own and tool.strict is not None:
        written["strict"] = tool.strict
    elif tool.strict and strict:
        written["strict"] = True
    elif tool.strict:
        losses.drop(tool.where("strict"))
    if tool.cache is not None:
        written["cache_control"] = tool.cache
    put_extra(written, tool, own=own, losses=losses)
    return written


def _schema(tool: Tool, *, own: bool) -> dict[str, Any]:
    """The schema of a tool's input, which must say that it is an object. A free-form tool gets its text as a member."""
    if tool.custom:
        return SCHEMA
    schema = {"properties": {}} if tool.schema is None else tool.schema
    if schema.get("type") is None:
        schema = {**schema, "type": "object"}
    return closed_at(schema, tool.path) if tool.strict and not own else schema


def _description(tool: Tool, losses: Losses) -> str | None:
    """What the model is told of a tool; of a grammar too, which nobody holds it to."""
    if tool.grammar is None:
        return tool.description
    losses.drop(tool.where("grammar"))
    definition = tool.grammar.get("definition")
    grammar = definition if isinstance(definition, str) else write_value(tool.grammar).decode()
    told = f"The {INPUT} must follow this grammar:\n{grammar}"
    return f"{tool.description}\n\n{told}" if tool.description else told


def _put_choice(body: dict[str, Any], request: Request, choice: ToolChoice, *, offered: bool, losses: Losses) -> None:
    """`tool_choice`, which the vendor refuses without tools. Nothing is lost then where nothing was forced."""
    own = request.dialect == "messages"
    if not offered:
        if choice.mode in ("required", "tool"):
            losses.drop(request.where("tool_choice"))
        put_extra({}, choice, own=own, losses=losses)
        return
    written: dict[str, Any] = {"type": _CHOICES[choice.mode]}
    if choice.mode == "tool":
        if choice.name is None:
            written["type"] = "any"
        else:
            written["name"] = choice.name
    put_extra(written, choice, own=own, losses=losses)
    body["tool_choice"] = written


def _put_parallel(
    body: dict[str, Any], request: Request, parallel: bool, *, offered: bool, own: bool, losses: Losses
) -> None:
    if not offered and not own:
        losses.drop(request.where("parallel_tools"))
    elif not parallel or own:
        choice = body.setdefault("tool_choice", {"type": "auto"})
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = not parallel
