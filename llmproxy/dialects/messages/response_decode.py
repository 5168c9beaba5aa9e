"""Whole messages, read into the neutral vocabulary.

Source: the SDK's `message` type. Of `usage`, how the cache was written and where the model ran are bookkeeping and are
passed over. Begin reading at `decode_response`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.codec import BadReply
from llmproxy.dialects.lenient_json import error_message, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.messages.content import read_block
from llmproxy.dialects.messages.usage import decode_usage
from llmproxy.dialects.model import Block, Reply, StopReason, ToolCall
from llmproxy.errors import BadRequest
from llmproxy.wire.json import read_value

STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}
SERVER_TOOLS = "server_tool_use"
"""How often built-in tools were used, in `usage`."""

# What compatible services leave out, above all where a stream tells it later.
_DEFAULTS: dict[object, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": ""},
    "tool_use": {"input": {}},
}
_DIRECT = {"type": "direct"}
_KNOWN = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}


def decode_response(body: bytes) -> Reply:
    """A provider's whole answer. Raises BadReply when it is no message."""
    value = read_value(body)
    if not isinstance(value, dict):
        raise BadReply("The provider's answer is no message: it is not a JSON object")
    error = error_message(value.get("error"))
    if error is not None:
        raise BadReply(f"The provider answered with an error: {error}", value["error"])
    content = value.get("content")
    if not isinstance(content, list):
        raise BadReply("The provider's answer is no message: it has no content")
    blocks = [read_answer_block(each, f"reply.content[{index}]") for index, each in enumerate(content)]
    usage = value.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Reply(
        path="reply",
        dialect="messages",
        extra=_extra(value, counts),
        id=string(value.get("id")) or "",
        model=string(value.get("model")) or "",
        content=blocks,
        stop=stop_of(value.get("stop_reason"), called=any(isinstance(block, ToolCall) for block in blocks)),
        stop_sequence=string(value.get("stop_sequence")),
        usage=decode_usage(usage),
        service_tier=string(counts.get("service_tier")),
    )


def read_answer_block(block: object, path: str) -> Block:
    """One block of an answer. Raises BadReply."""
    if isinstance(block, dict) and isinstance(kind := block.get("type"), str):
        block = _DEFAULTS.get(kind, {}) | {name: value for name, value in block.items() if value is not None}
    try:
        read = read_block(Members(block, path))
    except BadRequest as error:
        raise BadReply(f"The provider's answer is no message: {error.message}") from error
    if isinstance(read, ToolCall) and read.extra.get("caller") == _DIRECT:
        del read.extra["caller"]  # said of each call that the model itself makes
    return read


def stop_of(reason: object, *, called: bool) -> StopReason:
    """Why the model stopped. Compatible services end turns with calls like others."""
    stop = STOPS.get(reason, "end") if isinstance(reason, str) else "end"
    return "tool_calls" if stop == "end" and called else stop


def used_tools(usage: dict[str, Any]) -> dict[str, Any] | None:
    """How often built-in tools were used, when any was."""
    used = usage.get(SERVER_TOOLS)
    return used if isinstance(used, dict) and any(used.values()) else None


def _extra(value: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    extra = {name: each for name, each in value.items() if name not in _KNOWN and each is not None}
    used = used_tools(usage)
    if used is not None:
        extra[f"usage.{SERVER_TOOLS}"] = used
    return extra
