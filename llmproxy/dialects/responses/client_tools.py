"""Tools of this API that the client runs itself, but calls otherwise than functions. Other dialects get a function.

Source: the SDK's `response_tool_search_call`, `response_apply_patch_tool_call`, `response_function_shell_tool_call`,
`response_output_item` (`LocalShellCall`) and the items of their results. Begin reading at `KINDS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmproxy.dialects.lenient_json import objects, string
from llmproxy.dialects.model import Opaque, Text, Tool, ToolCall, ToolResult
from llmproxy.dialects.name_limits import flat_name
from llmproxy.wire.json import read_value, write_value


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool:
    """One type of tool: the types of the items of its calls and results, the member of a call that holds its
    arguments, members that each call has besides, and what a model must know of it."""

    call: str
    result: str
    arguments: str
    description: str
    schema: dict[str, Any]
    members: dict[str, Any] = field(default_factory=dict)


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}


def _object(needed: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": needed}


KINDS: dict[str, ClientTool] = {
    "tool_search": ClientTool(
        call="tool_search_call",
        result="tool_search_output",
        arguments="arguments",
        description="Finds more tools by words. Those that it finds can be called afterwards.",
        schema=_object(["query"], query=_TEXT),
        members={"execution": "client"},
    ),
    "local_shell": ClientTool(
        call="local_shell_call",
        result="local_shell_call_output",
        arguments="action",
        description="Runs a command on the user's machine.",
        schema=_object(
            ["type", "command"],
            type={"type": "string", "enum": ["exec"]},
            command={"type": "array", "items": _TEXT},
            env={"type": "object"},
            timeout_ms=_NUMBER,
            working_directory=_TEXT,
        ),
    ),
    "shell": ClientTool(
        call="shell_call",
        result="shell_call_output",
        arguments="action",
        description="Runs commands in a shell on the user's machine.",
        schema=_object(
            ["commands"],
            commands={"type": "array", "items": _TEXT},
            timeout_ms=_NUMBER,
            max_output_length=_NUMBER,
        ),
    ),
    "apply_patch": ClientTool(
        call="apply_patch_call",
        result="apply_patch_call_output",
        arguments="operation",
        description="Creates, changes or deletes a file. `diff` has the new lines behind `+`, removed ones behind `-`.",
        schema=_object(
            ["type", "path"],
            type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            path=_TEXT,
            diff=_TEXT,
        ),
    ),
}
_BOOKKEEPING = ("type", "id", "call_id", "status", "execution", "created_by", "caller")
CALLS = {tool.call: kind for kind, tool in KINDS.items()}
RESULTS = {tool.result: kind for kind, tool in KINDS.items()}


def runs_at_client(tool: dict[str, Any]) -> bool:
    """Return whether a built-in tool is one that the client runs."""
    kind, place = tool.get("type"), tool.get("environment")
    if kind == "tool_search":
        return tool.get("execution") == "client"
    if kind == "shell" and isinstance(place, dict):
        return place.get("type") == "local"
    return kind in KINDS


def function_of(tool: Opaque) -> Tool:
    """Return the function that stands for a tool that the client runs."""
    known, schema = KINDS[tool.kind], tool.value.get("parameters")
    return Tool(
        path=tool.path,
        name=tool.kind,
        kind=tool.kind,
        description=string(tool.value.get("description")) or known.description,
        schema=schema if isinstance(schema, dict) and schema else known.schema,
        extra=_others(tool.value, "description", "parameters"),
    )


def _others(item: dict[str, Any], *known: str) -> dict[str, Any]:
    """Return the members that nothing else carries."""
    return {name: value for name, value in item.items() if value is not None and name not in (*_BOOKKEEPING, *known)}


def decode_call(item: dict[str, Any], path: str) -> ToolCall | None:
    """Return the call in an item; None when the provider ran it itself, and it names none."""
    kind = CALLS[item["type"]]
    call_id = item.get("call_id")
    if not isinstance(call_id, str) or item.get("execution", "client") != "client":
        return None
    arguments = item.get(KINDS[kind].arguments)
    text = arguments if isinstance(arguments, str) else write_value({} if arguments is None else arguments).decode()
    return ToolCall(
        path=path,
        id=call_id,
        name=kind,
        kind=kind,
        arguments=text,
        native=item,
        extra=_others(item, KINDS[kind].arguments),
    )


def decode_result(item: dict[str, Any], path: str) -> ToolResult | None:
    """Return the result in an item; None when it belongs to no call of the client."""
    call_id = item.get("call_id") or (item.get("id") if item["type"] == "local_shell_call_output" else None)
    if not isinstance(call_id, str) or item.get("execution", "client") != "client":
        return None
    if "tools" in item:
        text = _names_of(item["tools"])
    else:
        output = item.get("output", item.get("status"))
        text = output if isinstance(output, str) else write_value(output).decode()
    content = Text(path=f"{path}.output", text=text)
    return ToolResult(path=path, id=call_id, content=[content], native=item, extra=_others(item, "output", "tools"))


def _names_of(tools: object) -> str:
    """Return the names of tools that were found, as the model must call them."""
    lines = []
    for tool in objects(tools):
        inner = objects(tool.get("tools")) if tool.get("type") == "namespace" else [tool]
        for each in inner:
            space = None if each is tool else string(tool.get("name"))
            name, about = string(each.get("name")) or string(each.get("type")) or "", string(each.get("description"))
            lines.append(f"- {flat_name(space, name)}" + (f": {about}" if about else ""))
    return "\n".join(["These tools were found and can be called now:", *lines]) if lines else "No tools were found."


def client_call_object(call: ToolCall, kind: str) -> dict[str, Any]:
    """Return the item of a call of this kind."""
    known = KINDS[kind]
    value = read_value(call.arguments.encode("utf-8", "surrogatepass")) if call.arguments else {}
    arguments = value if isinstance(value, dict) else {}
    return {"type": known.call, "call_id": call.id, known.arguments: arguments, **known.members}
