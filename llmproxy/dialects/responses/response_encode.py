"""Whole responses, encoded from the neutral vocabulary, and what the encoder of streams shares with that.

Source: the SDK's `response` types. Begin reading at `encode_response`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import ITEM
from llmproxy.dialects.model import Block, Opaque, Refusal, Reply, Request, StopReason, Text, Thinking, ToolCall
from llmproxy.dialects.request_fields import TIERS, put_tier
from llmproxy.dialects.response_fields import bare_id, drop_stop_details, kind_of
from llmproxy.dialects.responses.compaction import compaction_item, compacts
from llmproxy.dialects.responses.content import encode_output_part
from llmproxy.dialects.responses.request_messages import call_object, encode_reasoning
from llmproxy.dialects.responses.tables import ERROR_CODE_OF_STATUS, ERROR_CODES, INCOMPLETE_REASONS
from llmproxy.dialects.responses.usage import encode_usage
from llmproxy.dialects.usage import Usage

# What a response repeats of a request that does not have it.
_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}


def encode_response(reply: Reply, request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the whole answer for a client that sent `request`."""
    name = bare_id(reply.id)
    drop_stop_details(context.losses, reply.stop, reply.stop_sequence)
    stop = encode_stop(reply.stop, refused=any(isinstance(block, Refusal) for block in reply.content))
    output = _compact(reply, name, context) if compacts(request) else _encode_output(reply.content, name, context)
    if output and not context.own and "status" in output[-1]:
        output[-1]["status"] = encode_status(stop)
    body = response_object(
        request,
        name=name,
        model=reply.model,
        created_s=reply.created_s,
        output=output,
        stop=stop,
        usage=reply.usage,
    )
    if reply.service_tier is not None:
        put_tier(body, reply.service_tier, TIERS, "reply.service_tier", context)
    context.put_extra(body, reply)
    return body


def _compact(reply: Reply, name: str, context: EncodeContext) -> list[dict[str, Any]]:
    """Return the one item of an answer that stands for the conversation; none where the model said nothing."""
    for block in reply.content:
        if not isinstance(block, Text | Thinking):
            context.drop(f"reply.{kind_of(block)}")
    summary = "".join([block.text for block in reply.content if isinstance(block, Text)])
    return [compaction_item(f"cmp_{name}", summary)] if summary else []


def encode_stop(stop: StopReason, *, refused: bool) -> StopReason:
    """Return why the model stopped as far as a status can tell: a refusal in words is an end like others; one
    without words comes from a filter."""
    return "content_filter" if stop == "refusal" and not refused else stop


def encode_status(stop: StopReason) -> str:
    """Return the status of a response, and of its last item, when the model has stopped."""
    return "incomplete" if stop in INCOMPLETE_REASONS else "completed"


def response_object(
    request: Request,
    *,
    name: str,
    model: str,
    created_s: int | None,
    output: Sequence[dict[str, Any]],
    stop: StopReason | None,
    usage: Usage | None,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the object `response`; with neither `stop` nor `error` one that has only begun."""
    reason = INCOMPLETE_REASONS.get(stop) if stop is not None else None
    status = "failed" if error else "in_progress" if stop is None else encode_status(stop)
    return {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": int(time.time()) if created_s is None else created_s,
        "status": status,
        "error": error,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": model or request.model,
        "output": list(output),
        **_DEFAULTS,
        **request.echo,
        "usage": None if stop is None else encode_usage(usage),
    }


def encode_error_code(code: str, status: int) -> str:
    """Return the code of a response that failed: one that clients know, else the one that stands for the status."""
    return code if code in ERROR_CODES else ERROR_CODE_OF_STATUS.get(status, "server_error")


def message_item(name: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    """Return the output item of a message of the model."""
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": content}


def distinct_call_id(call_id: str, seen: set[str]) -> str:
    """Return the id of a call, changed if an earlier call has it: the SDK breaks off streams over that."""
    name, number = call_id, 2
    while name in seen:
        name, number = f"{call_id}_{number}", number + 1
    seen.add(name)
    return name


def call_item(name: str, call: ToolCall, context: EncodeContext, *, done: bool = True) -> dict[str, Any]:
    """Return the output item of a call."""
    item = {"id": name, **call_object(call)}
    if not call.custom or call.kind is not None:
        item["status"] = "completed" if done else "in_progress"
    context.put_extra(item, call)
    return item


def call_item_name(call: ToolCall, rest: str) -> str:
    """Return the id of the item of a call; those of custom tools have a beginning of their own."""
    return f"{'ctc' if call.custom else 'fc'}_{rest}"


def reasoning_item(name: str, thinking: Thinking, context: EncodeContext) -> dict[str, Any]:
    """Return the output item of thinking. That of another dialect is shown as a summary; what it is signed with is
    kept elsewhere, or clients get the name of its field instead."""
    if thinking.dialect == "responses":
        return {"id": name, **encode_reasoning(thinking)}
    context.losses.drop_extra(thinking)
    summary = [{"type": "summary_text", "text": thinking.text}] if thinking.text else []
    item: dict[str, Any] = {"id": name, "type": "reasoning", "summary": summary}
    if thinking.field is not None:
        item["encrypted_content"] = thinking.field
    return item


def output_part(block: Text | Refusal, context: EncodeContext) -> dict[str, Any]:
    """Return one part of a message of the model, with the members that typed clients demand of an answer."""
    part = encode_output_part(block, context)
    if isinstance(block, Text):
        part.setdefault("logprobs", [])
    return part


def _encode_output(content: Sequence[Block], name: str, context: EncodeContext) -> list[dict[str, Any]]:
    """Return the items; texts and refusals that follow each other are parts of one message, unless they came apart."""
    output: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] | None = None
    call_ids: set[str] = set()
    for block in content:
        if isinstance(block, Text | Refusal):
            if parts is None or ITEM in block.extra:
                parts = []
                rest = block.extra.get(ITEM, {}) if context.own else {}
                output.append(message_item(f"msg_{name}_{len(output)}", parts) | rest)
            parts.append(output_part(block, context))
            continue
        if isinstance(block, ToolCall):
            block = msgspec.structs.replace(block, id=distinct_call_id(block.id, call_ids))
        item = _encode_item(block, f"{name}_{len(output)}", context)
        if item is not None:
            output.append(item)
            parts = None
    return output


def _encode_item(block: Block, name: str, context: EncodeContext) -> dict[str, Any] | None:
    match block:
        case ToolCall():
            return call_item(call_item_name(block, name), block, context)
        case Thinking():
            return reasoning_item(block.id or f"rs_{name}", block, context)
        case Opaque(dialect="responses"):
            return block.value
        case _:
            context.drop(f"reply.{kind_of(block)}")
            return None
