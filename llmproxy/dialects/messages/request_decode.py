"""A messages request, decoded into the neutral vocabulary.

Source: the SDK's `message_create_params`, and its beta, whose further members are kept in `extra`. Begin reading at
`decode_request`.
"""

from __future__ import annotations

from typing import Any, Literal

from llmproxy.dialects.claude_thinking import decode_thinking
from llmproxy.dialects.content import only_texts
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.messages.content import decode_content
from llmproxy.dialects.messages.tables import OUTPUT_EFFORTS
from llmproxy.dialects.messages.tools import decode_choice, decode_tools
from llmproxy.dialects.model import Format, Instruction, Message, Reasoning, Request, Sampling, ToolCall, ToolResult
from llmproxy.dialects.request_fields import decode_strings

_ROLES: tuple[Literal["user", "assistant", "system"], ...] = ("user", "assistant", "system")


def decode_request(body: dict[str, Any]) -> Request:
    """Return a request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    members = Members(body)
    paths = {"stop": "stop_sequences"}
    model = members.needed_text("model")
    if members.rest.get("messages") is None:
        members.missing("messages")
    config, metadata = members.inner("output_config"), members.inner("metadata")
    choice, parallel = decode_choice(members, paths)
    request = Request(
        dialect="messages",
        model=model,
        system=_decode_system(members.any("system")),
        messages=[_decode_message(message) for message in members.objects("messages")],
        tools=decode_tools(members),
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=_decode_sampling(members),
        reasoning=_decode_reasoning(members, config, paths),
        format=_decode_format(members, config),
        knobs=_decode_knobs(members, metadata, paths),
        cache=members.any("cache_control"),
        stream=members.flag("stream") or False,
        paths=paths,
    )
    request.extra = nested_extra(members, config, metadata)
    return request


def decode_turns(messages: list[Any], first: int) -> list[Message]:
    """Return the messages of a request from the index `first` on."""
    return [_decode_message(Members(each, f"messages[{index}]")) for index, each in enumerate(messages, first)]


def _decode_system(system: object) -> list[Instruction]:
    if system is None:
        return []
    return [Instruction(path=text.path, content=[text]) for text in only_texts(decode_content(system, "system"))]


def _decode_message(message: Members) -> Message:
    role = message.word("role", _ROLES) or message.missing("role")
    content = message.any("content")
    if content is None and role == "system":
        content = []  # one that changes settings only (beta)
    blocks = decode_content(content, message.at("content"))
    for block in blocks:
        if isinstance(block, ToolResult) and role != "user":
            wrong(block.path, "is a tool result, which is allowed in messages of the user only")
        if isinstance(block, ToolCall) and role != "assistant":
            wrong(block.path, "is a tool call, which is allowed in messages of the assistant only")
    return Message(path=message.path, role=role, content=blocks, extra=message.left())


def _decode_sampling(members: Members) -> Sampling:
    return Sampling(
        max_tokens=members.whole("max_tokens"),
        temperature=members.number("temperature"),
        top_p=members.number("top_p"),
        top_k=members.whole("top_k"),
        stop=decode_strings(members.items("stop_sequences") or [], "stop_sequences"),
    )


def _decode_reasoning(members: Members, config: Members | None, paths: dict[str, str]) -> Reasoning:
    reasoning = Reasoning()
    if config is not None:
        reasoning.effort = config.word("effort", OUTPUT_EFFORTS)
        if reasoning.effort is not None:
            paths["effort"] = config.at("effort")
    thinking = members.inner("thinking")
    if thinking is None:
        return reasoning
    decode_thinking(thinking, reasoning, paths)
    return reasoning


def _decode_format(members: Members, config: Members | None) -> Format | None:
    """Return `output_config.format`, or the older `output_format`. With both, the newer counts."""
    form = None if config is None else config.inner("format")
    if form is None:
        form = members.inner("output_format")
    if form is None:
        return None
    form.word("type", ("json_schema",)) or form.missing("type")
    schema = form.object("schema")
    schema = form.missing("schema") if schema is None else schema
    return Format(path=form.path, kind="schema", schema=schema, extra=form.left())


def _decode_knobs(members: Members, metadata: Members | None, paths: dict[str, str]) -> dict[str, Any]:
    knobs: dict[str, Any] = {}
    user = None if metadata is None else metadata.text("user_id")
    if user is not None and metadata is not None:
        knobs["user"], paths["user"] = user, metadata.at("user_id")
    tier = members.text("service_tier")
    if tier is not None:
        knobs["service_tier"] = tier
    return knobs
