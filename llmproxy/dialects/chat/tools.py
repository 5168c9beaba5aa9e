"""Tools and the choice among them, read and written. The legacy `functions` and `function_call` are read as such.

Source: the SDK's `chat_completion_tool_union_param` and `chat_completion_tool_choice_option_param`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmproxy.dialects.chat.extras import nested_extra, put_cache, put_extra
from llmproxy.dialects.codec import Losses
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Opaque, Tool, ToolChoice

WEB_SEARCH = "web_search_options"
"""The built-in tool that is a member of the request and not one of `tools`."""


_FUNCTION_NAMES = {"strict": "function.strict"}
_CUSTOM_NAMES = {"grammar": "custom.format.grammar"}


def read_tools(body: Members) -> list[Tool | Opaque]:
    """`tools`, `functions` and `web_search_options`."""
    tools = [_read_tool(tool) for tool in body.objects("tools")]
    tools += [_read_function(function, function) for function in body.objects("functions")]
    search = body.object(WEB_SEARCH)
    if search is not None:
        tools.append(Opaque(path=WEB_SEARCH, dialect="chat", kind=WEB_SEARCH, value=search))
    return tools


def _read_tool(tool: Members) -> Tool | Opaque:
    kind = tool.text("type") or "function"
    if kind == "function":
        return _read_function(tool, Members(tool.any("function"), tool.at("function")))
    if kind == "custom":
        return _read_custom(tool, Members(tool.any("custom"), tool.at("custom")))
    return Opaque(path=tool.path, dialect="chat", kind=kind, value={"type": kind, **tool.rest})


def _read_function(tool: Members, function: Members) -> Tool:
    """A function; `tool` is the object around it, or, for the legacy form, the function itself."""
    return Tool(
        path=tool.path,
        name=function.needed_text("name"),
        description=function.text("description"),
        schema=function.object("parameters"),
        strict=function.flag("strict"),
        cache=tool.any("cache_control"),
        names={} if tool is function else _FUNCTION_NAMES,
        extra=tool.left() if tool is function else nested_extra(tool, function),
    )


def _read_custom(tool: Members, custom: Members) -> Tool:
    name, description, form = custom.needed_text("name"), custom.text("description"), custom.inner("format")
    grammar = None
    if form is not None and form.word("type", ("text", "grammar")) == "grammar":
        grammar = form.object("grammar") or form.missing("grammar")
    return Tool(
        path=tool.path,
        name=name,
        description=description,
        custom=True,
        grammar=grammar,
        cache=tool.any("cache_control"),
        names=_CUSTOM_NAMES,
        extra=nested_extra(tool, custom),
    )


def read_choice(body: Members, paths: dict[str, str]) -> ToolChoice | None:
    """`tool_choice`, or the legacy `function_call`."""
    choice, function = body.any("tool_choice"), body.any("function_call")
    if choice is not None:
        return _read_choice(choice)
    if function is None:
        return None
    paths["tool_choice"] = "function_call"
    if isinstance(function, str):
        return ToolChoice(path="function_call", mode=_mode(function, "function_call", ("none", "auto")))
    members = Members(function, "function_call")
    return ToolChoice(path="function_call", mode="tool", name=members.needed_text("name"), extra=members.left())


def _read_choice(choice: object) -> ToolChoice:
    path = "tool_choice"
    if isinstance(choice, str):
        return ToolChoice(path=path, mode=_mode(choice, path, ("none", "auto", "required")))
    if not isinstance(choice, dict):
        wrong(path, f"must be a string or an object, not {name_of(choice)}")
    members = Members(choice, path)
    kind = members.word("type", ("function", "custom", "allowed_tools")) or members.missing("type")
    inner = Members(members.any(kind), members.at(kind))
    if kind == "allowed_tools":
        mode = inner.word("mode", ("auto", "required")) or inner.missing("mode")
        allowed = [_allowed(tool) for tool in inner.objects("tools")]
        return ToolChoice(path=path, mode=_mode(mode, path, ("auto", "required")), allowed=allowed, extra=inner.left())
    name = inner.needed_text("name")
    return ToolChoice(path=path, mode="tool", name=name, custom=kind == "custom", extra=nested_extra(members, inner))


def _mode(word: str, path: str, words: tuple[str, ...]) -> Any:
    if word not in words:
        wrong(path, f"must be one of {', '.join(words)}, not {word[:50]!r}")
    return word


def _allowed(tool: Members) -> str:
    """The name of one of the allowed tools: `{"type": "function", "function": {"name": ...}}`."""
    kind = tool.word("type", ("function", "custom")) or "function"
    return Members(tool.any(kind), tool.at(kind)).needed_text("name")


def write_tool(tool: Tool | Opaque, *, own: bool, losses: Losses) -> dict[str, Any]:
    """One of `tools`. Raises BadRequest for another dialect's built-in tool."""
    if isinstance(tool, Opaque):
        if tool.dialect != "chat":
            losses.refuse(tool.path, f"The tool {tool.kind!r} is built into another API and unknown to chat")
        return tool.value
    kind = "custom" if tool.custom else "function"
    inner: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.custom:
        inner["format"] = {"type": "grammar", "grammar": tool.grammar} if tool.grammar is not None else None
    else:
        inner |= {"parameters": _schema(tool, own=own), "strict": tool.strict}
    written = {"type": kind, kind: {name: value for name, value in inner.items() if value is not None}}
    put_cache(written, tool, own=own, losses=losses)
    put_extra(written, tool, own=own, losses=losses)
    return written


def _schema(tool: Tool, *, own: bool) -> dict[str, Any] | None:
    """The schema, complete: OpenAI refuses objects of which nobody says what they have, as tools without arguments
    often are elsewhere."""
    return tool.schema if own or tool.schema is None else {"type": "object", "properties": {}, **tool.schema}


def write_choice(
    choice: ToolChoice, tools: Sequence[Tool | Opaque], *, own: bool, losses: Losses
) -> str | dict[str, Any]:
    """`tool_choice`."""
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.custom}
    if choice.mode == "tool" and choice.name is not None:
        written = _named(choice.name, choice.custom or choice.name in custom)
    elif choice.allowed is not None and choice.mode in ("auto", "required"):
        allowed = [_named(name, name in custom) for name in choice.allowed]
        written = {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": allowed}}
    else:
        if not own:
            losses.drop_extra(choice)
        return "required" if choice.mode == "tool" else choice.mode
    put_extra(written, choice, own=own, losses=losses)
    return written


def _named(name: str, custom: bool) -> dict[str, Any]:
    kind = "custom" if custom else "function"
    return {"type": kind, kind: {"name": name}}
