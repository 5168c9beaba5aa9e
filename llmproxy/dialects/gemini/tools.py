"""Tools and the choice among them, decoded and encoded.

Source: `google.genai.types.Tool`, `FunctionDeclaration` and `FunctionCallingConfig`. Declarations of all functions go
into one tool, as the vendor's documentation has them; what runs at the provider is a tool of its own. Begin reading at
`decode_tools` and `put_tools`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmproxy.dialects.custom_tools import SCHEMA, describe
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.gemini.schemas import json_schema
from llmproxy.dialects.gemini.tables import CHOICE_MODES, CHOICE_WORDS, NAME, VALIDATED
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import Opaque, Request, Tool, ToolChoice

DECLARATIONS, CONFIG = "functionDeclarations", "functionCallingConfig"
_JSON_SCHEMA, _OPEN_API = "parametersJsonSchema", "parameters"
ELSEWHERE = ("cachedContent", "continuationToken")
"""Members of a request that bring content into it that the provider keeps."""


def decode_tools(members: Members) -> list[Tool | Opaque]:
    """Return the tools, and what else brings content into the request from elsewhere."""
    tools = [each for tool in members.objects("tools") for each in _decode_tool(tool)]
    for name in ELSEWHERE:
        value = members.any(name)
        if value is not None:
            tools.append(Opaque(path=name, dialect=NAME, kind=name, value={name: value}))
    return tools


def _decode_tool(tool: Members) -> Iterator[Tool | Opaque]:
    for declaration in tool.objects(DECLARATIONS):
        yield _decode_function(declaration)
    for kind, value in tool.left().items():
        yield Opaque(path=tool.at(kind), dialect=NAME, kind=kind, value={kind: value}, declares=True)


def _decode_function(declaration: Members) -> Tool:
    function = Tool(
        path=declaration.path, name=declaration.needed_text("name"), description=declaration.text("description")
    )
    full, subset = declaration.any(_JSON_SCHEMA), declaration.object(_OPEN_API)
    if full is not None and not isinstance(full, dict):
        wrong(declaration.at(_JSON_SCHEMA), "must be an object")
    function.schema = json_schema(subset) if full is None and subset is not None else full
    function.extra = declaration.left()
    if subset is not None:
        function.extra[f"~{_OPEN_API}"] = subset
    return function


def decode_choice(members: Members) -> tuple[ToolChoice | None, Members | None]:
    """Return the choice, and `toolConfig`, whose other members are left in it."""
    config = members.inner("toolConfig")
    calling = None if config is None else config.inner(CONFIG)
    if config is None or calling is None:
        return None, config
    word = calling.text("mode")
    allowed = calling.items("allowedFunctionNames")
    mode = CHOICE_MODES.get((word or "AUTO").upper())
    if mode is None and word != "MODE_UNSPECIFIED":
        wrong(calling.at("mode"), f"must be one of {', '.join(CHOICE_MODES)}, not {str(word)[:50]!r}")
    choice = ToolChoice(path=calling.path, mode=mode or "auto", allowed=allowed or None)
    if choice.mode == "required" and allowed is not None and len(allowed) == 1:
        choice.mode, choice.name, choice.allowed = "tool", str(allowed[0]), None
    choice.extra = calling.left()
    if word is not None and word != CHOICE_WORDS[choice.mode] and (allowed is None or word != VALIDATED):
        choice.extra["mode" if word == VALIDATED else "~mode"] = word
    return choice, config


def put_tools(body: dict[str, Any], request: Request, context: EncodeContext) -> None:
    """Add the tools, the choice among them, and what else brings content from elsewhere. Raises BadRequest for another
    dialect's built-in tools."""
    declarations = [_encode_function(tool, context) for tool in request.tools if isinstance(tool, Tool)]
    tools: list[dict[str, Any]] = [{DECLARATIONS: declarations}] if declarations else []
    for tool in request.tools:
        if isinstance(tool, Opaque):
            _put_opaque(body, tools, tool, context)
    if tools:
        body["tools"] = tools
    if request.parallel_tools is False:
        context.drop(request.where("parallel_tools"))
    choice = request.tool_choice
    if choice is not None and (tools or context.own):
        body["toolConfig"] = {CONFIG: _encode_choice(choice, context)}


def _put_opaque(body: dict[str, Any], tools: list[dict[str, Any]], tool: Opaque, context: EncodeContext) -> None:
    if tool.dialect != NAME:
        context.refuse_built_in(tool, "a Gemini API")
    if tool.kind in ELSEWHERE:
        body |= tool.value
    else:
        tools.append(tool.value)


def _encode_function(tool: Tool, context: EncodeContext) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": tool.name}
    if tool.grammar is not None:
        context.drop(tool.where("grammar"))
    description = describe(tool)
    if description or (context.own and description is not None):
        declaration["description"] = description
    schema = SCHEMA if tool.custom else tool.schema
    own = tool.extra.get(f"~{_OPEN_API}") if context.own else None
    if schema and own is None:
        declaration[_JSON_SCHEMA] = schema if context.own else {"type": "object", **schema}
    if tool.strict:
        context.drop(tool.where("strict"))
    context.drop_cache(tool)
    context.put_extra(declaration, tool)
    return declaration


def _encode_choice(choice: ToolChoice, context: EncodeContext) -> dict[str, Any]:
    config: dict[str, Any] = {"mode": CHOICE_WORDS[choice.mode]}
    if choice.mode == "tool" and choice.name is not None:
        config["allowedFunctionNames"] = [choice.name]
    elif choice.allowed is not None:
        config["allowedFunctionNames"] = choice.allowed
        if choice.mode == "auto":
            config["mode"] = VALIDATED
    context.put_extra(config, choice)
    return config
