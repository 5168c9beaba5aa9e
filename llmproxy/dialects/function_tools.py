"""Functions, custom tools and the choice among them, as chat and responses have them: the one nests what it says of a
tool below the tool's type, the other does not. Tools that run at the provider are `Opaque`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import Inner, nested_extra
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Opaque, Tool, ToolChoice

ToolMode: TypeAlias = Literal["none", "auto", "required"]

TOOL_KINDS = ("function", "custom")
"""The types of tools that the client runs itself."""
MODES: tuple[ToolMode, ...] = ("none", "auto", "required")


def decode_function(tool: Members, function: Members) -> Tool:
    """Return a function. `tool` is the object around `function`, or the same."""
    return Tool(
        path=tool.path,
        name=function.needed_text("name"),
        description=function.text("description"),
        schema=function.object("parameters"),
        strict=function.flag("strict"),
        cache=tool.any("cache_control"),
        names={} if tool is function else {"strict": "function.strict"},
        extra=tool.left() if tool is function else nested_extra(tool, function),
    )


def decode_custom(
    tool: Members, custom: Members, decode_grammar: Callable[[Members], dict[str, Any]], grammar_path: str
) -> Tool:
    """Return a custom tool. `tool` is the object around `custom`, or the same; `decode_grammar` reads its format."""
    decoded = Tool(
        path=tool.path,
        name=custom.needed_text("name"),
        description=custom.text("description"),
        custom=True,
        names={"grammar": grammar_path},
        cache=tool.any("cache_control"),
    )
    form = custom.inner("format")
    if form is not None:
        if (form.word("type", ("text", "grammar")) or form.missing("type")) == "grammar":
            decoded.grammar = decode_grammar(form)
        else:
            custom.rest["~format"] = Inner(type="text")  # the same as no format
        custom.rest["format"] = Inner(form.left()) or None
    decoded.extra = tool.left() if tool is custom else nested_extra(tool, custom)
    return decoded


def decode_mode(word: str, path: str, modes: Sequence[ToolMode] = MODES) -> ToolMode:
    """Return the mode of a choice at the JSON path `path`. Raises BadRequest for any other word."""
    for mode in modes:
        if mode == word:
            return mode
    wrong(path, f"must be one of {', '.join(modes)}, not {word[:50]!r}")


def encode_schema(tool: Tool, context: EncodeContext) -> dict[str, Any] | None:
    """Return the parameters of a function. OpenAI refuses objects without properties, as tools without arguments often
    are in other dialects."""
    return tool.schema if context.own else {"type": "object", "properties": {}, **(tool.schema or {})}


def encode_tool_choice(
    choice: ToolChoice,
    tools: Sequence[Tool | Opaque],
    context: EncodeContext,
    *,
    name_tool: Callable[[str, str], dict[str, Any]],
    allow_tools: Callable[[ToolMode, list[dict[str, Any]]], dict[str, Any]],
) -> str | dict[str, Any]:
    """Return the member `tool_choice`. `name_tool` writes one tool by its type and name, `allow_tools` a choice among
    some."""
    if choice.opaque is not None:
        return choice.opaque
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.custom}
    if choice.mode == "tool" and choice.name is not None:
        body = name_tool(TOOL_KINDS[choice.custom or choice.name in custom], choice.name)
    elif choice.allowed is not None and (choice.mode == "auto" or choice.mode == "required"):
        body = allow_tools(choice.mode, [name_tool(TOOL_KINDS[name in custom], name) for name in choice.allowed])
    else:
        context.drop_extra(choice)
        return "required" if choice.mode == "tool" else choice.mode
    context.put_extra(body, choice)
    return body
