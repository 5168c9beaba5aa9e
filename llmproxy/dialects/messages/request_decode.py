"""Reading a messages request into the neutral vocabulary.

Source: the SDK's `message_create_params`, and its beta, whose further members are kept in `extra`. Begin reading at
`decode_request`.
"""

from __future__ import annotations

from typing import Any, Literal

from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.messages.content import read_content, read_texts
from llmproxy.dialects.messages.extras import nested_extra
from llmproxy.dialects.model import (
    Effort,
    Format,
    Instruction,
    Message,
    Opaque,
    Reasoning,
    Request,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

SERVERS = "mcp_servers"
THREAD = "thread"
"""A conversation that the provider keeps (beta)."""

DISPLAYS = {"summarized": "auto", "omitted": "omitted"}
"""What `thinking.display` is called in `Reasoning.summary`."""

BETWEEN_TOOLS = "between_tools"

_ROLES: tuple[Literal["user", "assistant", "system"], ...] = ("user", "assistant", "system")
_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
_CHOICES: dict[str, Literal["auto", "none", "required", "tool"]] = {
    "auto": "auto",
    "any": "required",
    "tool": "tool",
    "none": "none",
}
_MODES: dict[str, Literal["on", "adaptive", "off"]] = {
    "enabled": "on",
    "adaptive": "adaptive",
    BETWEEN_TOOLS: "adaptive",
    "disabled": "off",
}


def decode_request(body: dict[str, Any]) -> Request:
    """A request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    members = Members(body)
    paths = {"stop": "stop_sequences"}
    model = members.needed_text("model")
    if members.rest.get("messages") is None:
        members.missing("messages")
    config, metadata = members.inner("output_config"), members.inner("metadata")
    choice, parallel = _read_choice(members, paths)
    request = Request(
        dialect="messages",
        model=model,
        system=_read_system(members.any("system")),
        messages=[_read_message(message) for message in members.objects("messages")],
        tools=_read_tools(members),
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=_read_sampling(members),
        reasoning=_read_reasoning(members, config, paths),
        format=_read_format(members, config),
        knobs=_read_knobs(members, metadata, paths),
        cache=members.any("cache_control"),
        stream=members.flag("stream") or False,
        paths=paths,
    )
    request.extra = nested_extra(members, config, metadata)
    return request


def _read_system(system: object) -> list[Instruction]:
    if system is None:
        return []
    return [Instruction(path=text.path, content=[text]) for text in read_texts(system, "system")]


def _read_message(message: Members) -> Message:
    role = message.word("role", _ROLES) or message.missing("role")
    content = message.any("content")
    if content is None and role == "system":
        content = []  # one that changes settings only (beta)
    blocks = read_content(content, message.at("content"))
    for block in blocks:
        if isinstance(block, ToolResult) and role != "user":
            wrong(block.path, f"is the result of a tool, which stands in user messages, not in those of the {role}")
        if isinstance(block, ToolCall) and role != "assistant":
            wrong(block.path, f"is a tool call, which stands in assistant messages, not in those of the {role}")
    return Message(path=message.path, role=role, content=blocks, extra=message.left())


def _read_tools(members: Members) -> list[Tool | Opaque]:
    """The tools, and what else brings content into the request from elsewhere."""
    tools = [_read_tool(tool) for tool in members.objects("tools")]
    for server in members.objects(SERVERS):
        tools.append(Opaque(path=server.path, dialect="messages", kind=SERVERS, value=server.rest))
    thread = members.object(THREAD)
    if thread is not None:
        tools.append(Opaque(path=THREAD, dialect="messages", kind=THREAD, value=thread))
    return tools


def _read_tool(tool: Members) -> Tool | Opaque:
    kind = tool.text("type")
    if kind not in (None, "custom"):
        return Opaque(path=tool.path, dialect="messages", kind=kind, value={"type": kind, **tool.rest})
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


def _read_choice(members: Members, paths: dict[str, str]) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether several tools may be called at once."""
    choice = members.inner("tool_choice")
    if choice is None:
        return None, None
    kind = choice.word("type", tuple(_CHOICES)) or choice.missing("type")
    alone = choice.flag("disable_parallel_tool_use")
    if alone is not None:
        paths["parallel_tools"] = choice.at("disable_parallel_tool_use")
    name = choice.needed_text("name") if kind == "tool" else None
    read = ToolChoice(path=choice.path, mode=_CHOICES[kind], name=name, extra=choice.left())
    return read, None if alone is None else not alone


def _read_sampling(members: Members) -> Sampling:
    return Sampling(
        max_tokens=members.whole("max_tokens"),
        temperature=members.number("temperature"),
        top_p=members.number("top_p"),
        top_k=members.whole("top_k"),
        stop=_read_stop(members.items("stop_sequences") or []),
    )


def _read_stop(sequences: list[Any]) -> list[str]:
    for index, each in enumerate(sequences):
        if not isinstance(each, str):
            wrong(f"stop_sequences[{index}]", f"must be a string, not {name_of(each)}")
    return sequences


def _read_reasoning(members: Members, config: Members | None, paths: dict[str, str]) -> Reasoning:
    reasoning = Reasoning()
    if config is not None:
        reasoning.effort = config.word("effort", _EFFORTS)
        if reasoning.effort is not None:
            paths["effort"] = config.at("effort")
    thinking = members.inner("thinking")
    if thinking is None:
        return reasoning
    kind = thinking.word("type", tuple(_MODES)) or thinking.missing("type")
    reasoning.path, reasoning.mode = thinking.path, _MODES[kind]
    reasoning.budget_tokens = thinking.whole("budget_tokens")
    display = thinking.text("display")
    reasoning.summary = DISPLAYS.get(display or "")
    paths["mode"] = thinking.at("type")
    paths["budget_tokens"], paths["summary"] = thinking.at("budget_tokens"), thinking.at("display")
    reasoning.extra = thinking.left()
    if kind == BETWEEN_TOOLS:
        reasoning.extra["type"] = kind
    if display is not None and reasoning.summary is None:
        reasoning.extra["display"] = display
    return reasoning


def _read_format(members: Members, config: Members | None) -> Format | None:
    """`output_config.format`, or the older `output_format`. With both, the newer counts."""
    form = None if config is None else config.inner("format")
    if form is None:
        form = members.inner("output_format")
    if form is None:
        return None
    form.word("type", ("json_schema",)) or form.missing("type")
    schema = form.object("schema")
    return Format(
        path=form.path,
        kind="schema",
        schema=form.missing("schema") if schema is None else schema,
        extra=form.left(),
    )


def _read_knobs(members: Members, metadata: Members | None, paths: dict[str, str]) -> dict[str, Any]:
    knobs: dict[str, Any] = {}
    user = None if metadata is None else metadata.text("user_id")
    if user is not None and metadata is not None:
        knobs["user"], paths["user"] = user, metadata.at("user_id")
    tier = members.text("service_tier")
    if tier is not None:
        knobs["service_tier"] = tier
    return knobs
