"""Writing whole responses from the neutral vocabulary, and what the writer of streams shares with that.

Source: the SDK's `response` types. Begin reading at `encode_response`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.model import (
    Block,
    Media,
    Opaque,
    Refusal,
    Reply,
    Request,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from llmproxy.dialects.responses.content import write_said
from llmproxy.dialects.responses.extras import ITEM, put_extra
from llmproxy.dialects.responses.request_encode import TIERS
from llmproxy.dialects.responses.request_messages import write_call, write_reasoning
from llmproxy.dialects.responses.usage import encode_usage

_INCOMPLETE: dict[StopReason, str] = {
    "length": "max_output_tokens",
    "context_window": "max_output_tokens",
    "content_filter": "content_filter",
}
_TIERS = {"standard": "default"}
# Of the SDK's `response_error`, and the two that agents look for beside them.
_CODES = frozenset(
    (
        *("server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch", "bio_policy"),
        *("misalignment_policy_violation", "vector_store_timeout", "context_length_exceeded", "insufficient_quota"),
    )
)
_CODE_OF = {400: "invalid_prompt", 413: "invalid_prompt", 429: "rate_limit_exceeded"}
CALL_ID = {False: "fc", True: "ctc"}
"""How the ids of calls begin; those of free-form tools have a beginning of their own."""
# What a response says of a request that did not say it.
_UNSAID: dict[str, Any] = {
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


def encode_response(reply: Reply, request: Request, losses: Losses) -> dict[str, Any]:
    """The whole answer for a client that sent `request`."""
    name = bare_id(reply.id)
    own = reply.dialect == "responses"
    note_stop(reply.stop, reply.stop_sequence, losses)
    stop = told_stop(reply.stop, refused=any(isinstance(block, Refusal) for block in reply.content))
    output = _output(reply.content, name, own=own, losses=losses)
    if output and not own and "status" in output[-1]:
        output[-1]["status"] = state_of(stop)
    written = write_response(
        request,
        name=name,
        model=reply.model,
        created_s=reply.created_s,
        output=output,
        stop=stop,
        usage=reply.usage,
        tier=_tier(reply, losses),
    )
    put_extra(written, reply, own=own, losses=losses)
    return written


def bare_id(given: str) -> str:
    """A reply's id without the beginning that its dialect gives it."""
    return given.removeprefix("chatcmpl-").removeprefix("msg_").removeprefix("resp_")


def note_stop(stop: StopReason, sequence: str | None, losses: Losses) -> None:
    """List what a status cannot say."""
    if sequence is not None:
        losses.drop("reply.stop_sequence")
    if stop == "pause":
        losses.drop("reply.stop.pause")


def told_stop(stop: StopReason, *, refused: bool) -> StopReason:
    """Why the model stopped, as a status says it: a refusal in words is an end like others, without words it is a
    filter's doing."""
    return "content_filter" if stop == "refusal" and not refused else stop


def write_response(
    request: Request,
    *,
    name: str,
    model: str,
    created_s: int | None,
    output: Sequence[dict[str, Any]],
    stop: StopReason | None,
    usage: Usage | None,
    tier: str | None = None,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The object `response`; with neither `stop` nor `error` one that has only begun."""
    reason = _INCOMPLETE.get(stop) if stop is not None else None
    status = "failed" if error else "in_progress" if stop is None else state_of(stop)
    written: dict[str, Any] = {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": int(time.time()) if created_s is None else created_s,
        "status": status,
        "error": error,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": model or request.model,
        "output": list(output),
        **_UNSAID,
        **request.echo,
        "usage": None if stop is None else encode_usage(usage),
    }
    if tier is not None:
        written["service_tier"] = tier
    return written


def error_code(code: str, status: int) -> str:
    """The code of a response that failed: one that clients know, else what the status comes to."""
    return code if code in _CODES else _CODE_OF.get(status, "server_error")


def state_of(stop: StopReason) -> str:
    """The status of a response, and of its last item, when the model has stopped."""
    return "incomplete" if stop in _INCOMPLETE else "completed"


def message_item(name: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    """The output item of what the model says."""
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": content}


def distinct_id(given: str, seen: set[str]) -> str:
    """The id of a call, changed where an earlier call of the answer has it: the SDK breaks off streams over that."""
    name, number = given, 2
    while name in seen:
        name, number = f"{given}_{number}", number + 1
    seen.add(name)
    return name


def call_item(name: str, call: ToolCall, losses: Losses, *, own: bool = False, done: bool = True) -> dict[str, Any]:
    """The output item of a call."""
    written = {"id": name, **write_call(call, own=True)}
    if not call.custom:
        written["status"] = "completed" if done else "in_progress"
    put_extra(written, call, own=own, losses=losses)
    return written


def reasoning_item(name: str, thinking: Thinking, losses: Losses) -> dict[str, Any]:
    """The output item of thinking. That of another dialect is shown as a summary; its seal is kept elsewhere, or it has
    a place in stead of one."""
    if thinking.dialect == "responses":
        return {"id": name, **write_reasoning(thinking)}
    losses.drop_extra(thinking)
    summary = [{"type": "summary_text", "text": thinking.text}] if thinking.text else []
    sealed = {} if thinking.field is None else {"encrypted_content": thinking.field}
    return {"id": name, "type": "reasoning", "summary": summary, **sealed}


def said_part(block: Text | Refusal, losses: Losses, *, own: bool = False) -> dict[str, Any]:
    """One part of a message of the model's."""
    part = write_said(block, own=own, losses=losses)
    if isinstance(block, Text):
        part.setdefault("logprobs", [])
    return part


def _tier(reply: Reply, losses: Losses) -> str | None:
    tier = _TIERS.get(reply.service_tier or "", reply.service_tier)
    if tier is None or tier in TIERS:
        return tier
    losses.drop("reply.service_tier")
    return None


def _output(content: Sequence[Block], name: str, *, own: bool, losses: Losses) -> list[dict[str, Any]]:
    """The items; texts and refusals that follow each other are parts of one message, unless they came apart."""
    output: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] | None = None
    called: set[str] = set()
    for block in content:
        if isinstance(block, Text | Refusal):
            if parts is None or ITEM in block.extra:
                parts = []
                kept = block.extra.get(ITEM, {}) if own else {}
                output.append(message_item(f"msg_{name}_{len(output)}", parts) | kept)
            parts.append(said_part(block, losses, own=own))
            continue
        if isinstance(block, ToolCall):
            block = msgspec.structs.replace(block, id=distinct_id(block.id, called))
        item = _item(block, f"{name}_{len(output)}", own=own, losses=losses)
        if item is not None:
            output.append(item)
            parts = None
    return output


def _item(block: Block, name: str, *, own: bool, losses: Losses) -> dict[str, Any] | None:
    match block:
        case ToolCall():
            return call_item(f"{CALL_ID[block.custom]}_{name}", block, losses, own=own)
        case Thinking():
            return reasoning_item(block.id or f"rs_{name}", block, losses)
        case Opaque(dialect="responses"):
            return block.value
        case _:
            losses.drop(f"reply.{kind_of(block)}")
            return None


def kind_of(block: Block) -> str:
    """What a block that has no place here is called in the list of losses."""
    return block.kind if isinstance(block, Opaque | Media) else type(block).__name__.lower()
