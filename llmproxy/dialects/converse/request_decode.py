"""A Converse request, decoded into the neutral vocabulary. Its model and whether it streams stand in the path.

Source: the shapes `ConverseRequest` and `ConverseStreamRequest`. Begin reading at `decode_request`.
"""

from __future__ import annotations

from typing import Any, Literal

from llmproxy.dialects.claude_thinking import decode_thinking
from llmproxy.dialects.converse.cache_points import POINT, take_point
from llmproxy.dialects.converse.content import decode_block, decode_blocks
from llmproxy.dialects.converse.tables import FIELD_PATHS, OUTPUT_EFFORTS, STOP_SEQUENCE_PATH, THINKING_FIELDS
from llmproxy.dialects.converse.tools import ALONE, CHOICE_FIELD, decode_choice, decode_tools
from llmproxy.dialects.extra import Inner, nested_extra
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.model import (
    Format,
    Instruction,
    Message,
    Opaque,
    Reasoning,
    Request,
    Sampling,
    Text,
    ToolCall,
    ToolResult,
)
from llmproxy.dialects.request_fields import decode_strings
from llmproxy.wire.json import read_value

OWN_BLOCK = "~block"
"""Bookkeeping of a text in the system prompt that stood as a block of this dialect's own."""
_ROLES: tuple[Literal["user", "assistant", "system"], ...] = ("user", "assistant", "system")
_PATHS = {
    "max_tokens": "inferenceConfig.maxTokens",
    "temperature": "inferenceConfig.temperature",
    "top_p": "inferenceConfig.topP",
    "stop": "inferenceConfig.stopSequences",
    "top_k": "additionalModelRequestFields.top_k",
    "tool_choice": "toolConfig.toolChoice",
    "service_tier": "serviceTier.type",
    "effort": "outputConfig.effort",
}


def decode_request(body: dict[str, Any]) -> Request:
    """Return a request, from the decoded JSON object. Raises BadRequest with the JSON path of what is wrong."""
    members = Members(body)
    paths = dict(_PATHS)
    if members.rest.get("messages") is None:
        members.missing("messages")
    model = members.text("model") or ""
    config, output, tier = members.inner("inferenceConfig"), members.inner("outputConfig"), members.inner("serviceTier")
    tools, fields = members.inner("toolConfig"), members.inner("additionalModelRequestFields")
    word = None if tier is None else tier.text("type")
    request = Request(
        dialect="converse",
        model=model,
        system=_decode_system(members),
        messages=[_decode_message(message) for message in members.objects("messages")],
        tools=[] if tools is None else decode_tools(tools),
        tool_choice=None if tools is None else decode_choice(tools),
        sampling=_decode_sampling(config, fields),
        reasoning=_decode_reasoning(output, fields, paths),
        format=None if output is None else _decode_format(output),
        knobs={} if word is None else {"service_tier": word},
        paths=paths,
    )
    choice = None if fields is None else _decode_parallel(request, fields)
    request.extra = nested_extra(members, config, output, tier, tools, fields)
    if request.extra.get(FIELD_PATHS) == [STOP_SEQUENCE_PATH]:  # which others say unasked
        request.extra[f"~{FIELD_PATHS}"] = request.extra.pop(FIELD_PATHS)
    if choice is not None:
        request.extra.setdefault("additionalModelRequestFields", Inner())[CHOICE_FIELD] = choice
    return request


def _decode_system(members: Members) -> list[Instruction]:
    instructions: list[Instruction] = []
    for block in members.objects("system"):
        texts = [text for each in instructions for text in each.content]
        decoded = take_point(block, texts) if POINT in block.rest else decode_block(block)
        if isinstance(decoded, Opaque):  # what a guardrail judges, or a point that nothing can hold
            extra = block.left() if decoded.words is None else decoded.extra
            decoded = Text(path=decoded.path, text=decoded.words or "", extra={**extra, OWN_BLOCK: block.rest})
        if decoded is not None:
            if not isinstance(decoded, Text):
                wrong(decoded.path, "must be text")
            instructions.append(Instruction(path=decoded.path, content=[decoded]))
    return instructions


def _decode_message(message: Members) -> Message:
    role = message.word("role", _ROLES) or message.missing("role")
    blocks = decode_blocks(message.any("content"), message.at("content"))
    for block in blocks:
        if isinstance(block, ToolResult) and role != "user":
            wrong(block.path, "is a tool result, which is allowed in messages of the user only")
        if isinstance(block, ToolCall) and role != "assistant":
            wrong(block.path, "is a tool call, which is allowed in messages of the assistant only")
    return Message(path=message.path, role=role, content=blocks, extra=message.left())


def _decode_sampling(config: Members | None, fields: Members | None) -> Sampling:
    sampling = Sampling()
    if config is not None:
        sampling.max_tokens = config.whole("maxTokens")
        sampling.temperature, sampling.top_p = config.number("temperature"), config.number("topP")
        sampling.stop = decode_strings(config.items("stopSequences") or [], config.at("stopSequences"))
    if fields is not None and type(fields.rest.get("top_k")) in (int, float):
        sampling.top_k = fields.whole("top_k")
    return sampling


def _decode_reasoning(output: Members | None, fields: Members | None, paths: dict[str, str]) -> Reasoning:
    """Return what the request says of thinking, which may be anything in the fields of a model that is no Claude."""
    reasoning = Reasoning()
    if output is not None and output.rest.get("effort") in OUTPUT_EFFORTS:  # later models may know other words
        reasoning.effort = output.word("effort", OUTPUT_EFFORTS)
    name = next((name for name in THINKING_FIELDS if fields is not None and _thinks(fields.rest.get(name))), None)
    thinking = None if fields is None or name is None else fields.inner(name)
    if thinking is not None:
        decode_thinking(thinking, reasoning, paths)
    return reasoning


def _thinks(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") in ("enabled", "disabled", "adaptive", "between_tools")


def _decode_format(output: Members) -> Format | None:
    form = output.inner("textFormat")
    if form is None:
        return None
    form.word("type", ("json_schema",)) or form.missing("type")
    structure = Members(form.any("structure"), form.at("structure"))
    definition = Members(structure.any("jsonSchema"), structure.at("jsonSchema"))
    text = definition.needed_text("schema")
    schema = read_value(text.encode("utf-8", "surrogatepass"))
    if not isinstance(schema, dict):
        wrong(definition.at("schema"), "must be a JSON object, as text")
    name, description = definition.text("name"), definition.text("description")
    inner = {"jsonSchema": Inner(definition.left())} if definition.left() else {}
    extra = {**form.left(), **({"structure": Inner(inner)} if inner else {})}
    return Format(path=form.path, kind="schema", name=name, description=description, schema=schema, extra=extra)


def _decode_parallel(request: Request, fields: Members) -> Inner | None:
    """Set whether several tools may be called at once; return the rest of Claude's own choice, which repeats ours."""
    if not isinstance(fields.rest.get(CHOICE_FIELD), dict) or ALONE not in fields.rest[CHOICE_FIELD]:
        return None
    choice = Members(fields.any(CHOICE_FIELD), fields.at(CHOICE_FIELD))
    alone = choice.flag(ALONE)
    if alone is not None:
        request.parallel_tools, request.paths["parallel_tools"] = not alone, choice.at(ALONE)
    return Inner({f"~{name}": value for name, value in choice.left().items()})
