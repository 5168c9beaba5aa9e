"""Tools and the choice among them, read and written.

Source: the SDK's `function_tool_param`, `custom_tool_param`, `tool_choice_*_param`. Every tool that runs at the
provider is `Opaque`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Opaque, Tool, ToolChoice
from llmproxy.dialects.responses.extras import drop_cache, nested_extra, put_extra

# The kinds of tools that are the client's.
_OWN = ("function", "custom")
_MODES: tuple[Literal["none", "auto", "required"], ...] = ("none", "auto", "required")


def read_tools(body: Members) -> list[Tool | Opaque]:
    """`tools`."""
    return [_read_tool(tool) for tool in body.objects("tools")]


def _read_tool(tool: Members) -> Tool | Opaque:
    kind = tool.needed_text("type")
    if kind == "function":
        return Tool(
            path=tool.path,
            name=tool.needed_text("name"),
            description=tool.text("description"),
            schema=tool.object("parameters"),
            strict=tool.flag("strict"),
            cache=tool.any("cache_control"),
            extra=tool.left(),
        )
    if kind == "custom":
        return _read_custom(tool)
    return Opaque(path=tool.path, dialect="responses", kind=kind, value={"type": kind, **tool.rest})


def _read_custom(tool: Members) -> Tool:
    name, description, form = tool.needed_text("name"), tool.text("description"), tool.inner("format")
    grammar = None
    extra: dict[str, Any] = {}
    if form is not None:
        kind = form.word("type", ("text", "grammar")) or form.missing("type")
        if kind == "grammar":
            grammar = {"syntax": form.needed_text("syntax"), "definition": form.needed_text("definition")}
        else:
            extra["~format.type"] = kind  # the same as none
    extra |= nested_extra(tool, *([form] if form is not None else []))
    return Tool(
        path=tool.path,
        name=name,
        description=description,
        custom=True,
        grammar=grammar,
        names={"grammar": "format"},
        extra=extra,
    )


def read_choice(body: Members) -> ToolChoice | None:
    """`tool_choice`."""
    choice, path = body.any("tool_choice"), "tool_choice"
    if choice is None:
        return None
    if isinstance(choice, str):
        return ToolChoice(path=path, mode=_mode(choice))
    if not isinstance(choice, dict):
        wrong(path, f"must be a string or an object, not {name_of(choice)}")
    members = Members(choice, path)
    kind = members.needed_text("type")
    if kind in _OWN:
        name = members.needed_text("name")
        return ToolChoice(path=path, mode="tool", name=name, custom=kind == "custom", extra=members.left())
    if kind == "allowed_tools":
        mode = _mode(members.needed_text("mode"))
        tools = list(members.objects("tools"))
        names = [each for tool in tools if tool.any("type") in _OWN and (each := tool.text("name")) is not None]
        if len(names) == len(tools):
            return ToolChoice(path=path, mode=mode, allowed=names, extra=members.left())
    return ToolChoice(path=path, mode="required", opaque=choice)


def _mode(word: str) -> Literal["none", "auto", "required"]:
    for mode in _MODES:
        if mode == word:
            return mode
    wrong("tool_choice", f"must be one of {', '.join(_MODES)}, not {word[:50]!r}")


def write_tool(tool: Tool | Opaque, *, own: bool, losses: Losses) -> dict[str, Any]:
    """One of `tools`. Raises BadRequest for another dialect's built-in tool."""
    if isinstance(tool, Opaque):
        if tool.dialect != "responses":
            told = f"The tool {tool.kind!r} is built into another API and unknown to the Responses API"
            losses.refuse(tool.path, told)
        return tool.value
    drop_cache(tool, losses)
    written: dict[str, Any] = {"type": "custom" if tool.custom else "function", "name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.custom:
        if tool.grammar is not None:
            written["format"] = {"type": "grammar", **tool.grammar}
    else:
        # All must be there. Elsewhere, who says nothing of strictness has none; here it would be on.
        written["parameters"] = tool.schema if own else {"type": "object", "properties": {}, **(tool.schema or {})}
        written["strict"] = tool.strict if tool.strict is not None or own else False
    put_extra(written, tool, own=own, losses=losses)
    return written


def write_choice(
    choice: ToolChoice, tools: Sequence[Tool | Opaque], *, own: bool, losses: Losses
) -> str | dict[str, Any]:
    """`tool_choice`."""
    if choice.opaque is not None:
        return choice.opaque
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.custom}
    if choice.mode == "tool" and choice.name is not None:
        written = _named(choice.name, choice.custom or choice.name in custom)
    elif choice.allowed is not None and choice.mode in ("auto", "required"):
        allowed = [_named(name, name in custom) for name in choice.allowed]
        written = {"type": "allowed_tools", "mode": choice.mode, "tools": allowed}
    else:
        if not own:
            losses.drop_extra(choice)
        return "required" if choice.mode == "tool" else choice.mode
    put_extra(written, choice, own=own, losses=losses)
    return written


def _named(name: str, custom: bool) -> dict[str, Any]:
    return {"type": "custom" if custom else "function", "name": name}
