"""Whole responses, read into the neutral vocabulary. Begin reading at `decode_response`."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from llmproxy.dialects.codec import BadReply
from llmproxy.dialects.lenient_json import count, error_message, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Opaque, Refusal, Reply, StopReason, ToolCall
from llmproxy.dialects.responses.content import read_part
from llmproxy.dialects.responses.extras import ITEM
from llmproxy.dialects.responses.request_decode import ECHOED
from llmproxy.dialects.responses.request_messages import read_custom_call, read_function_call, read_reasoning
from llmproxy.dialects.responses.usage import decode_usage
from llmproxy.errors import BadRequest
from llmproxy.wire.json import read_value

_FAILED = ("failed", "cancelled")
_INCOMPLETE: dict[str, StopReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_KNOWN = frozenset(
    (
        *("id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "model", "output"),
        *("output_text", "usage", "service_tier", "background", "conversation", "prompt", "prompt_cache_options"),
        *("prompt_cache_retention", "image", "access_programs", "billing", "store", *ECHOED),
    )
)
"""What is read, and what repeats the request."""
_OF_ITEM = ("id", "status", "phase")
_READERS: dict[str, Callable[[Members], Block]] = {
    "function_call": read_function_call,
    "custom_tool_call": read_custom_call,
    "reasoning": read_reasoning,
}


def decode_response(body: bytes) -> Reply:
    """A provider's whole answer. Raises BadReply when it is no response, or one that failed."""
    value = read_value(body)
    if not isinstance(value, dict):
        raise BadReply("The provider's answer is no response: it is not a JSON object")
    error = error_message(value.get("error"))
    if error is not None or value.get("status") in _FAILED:
        raise BadReply(f"The provider answered with an error: {error or value.get('status')}", value.get("error"))
    output = value.get("output")
    if not isinstance(output, list):
        raise BadReply("The provider's answer is no response: it has no output")
    content = [block for item in output if isinstance(item, dict) for block in read_item(item)]
    extra = {name: each for name, each in value.items() if name not in _KNOWN and each not in (None, [], {})}
    stop = stop_of(value, content)
    return Reply(
        path="reply",
        id=string(value.get("id")) or "",
        dialect="responses",
        model=string(value.get("model")) or "",
        content=content,
        stop=stop,
        usage=decode_usage(value.get("usage")),
        created_s=seconds(value.get("created_at")),
        service_tier=string(value.get("service_tier")),
        extra=extra,
    )


def read_item(item: dict[str, Any]) -> list[Block]:
    """The blocks of an output item; one that is not as it should be is `Opaque`."""
    kind = string(item.get("type")) or "unknown"
    try:
        if kind == "message":
            parts = item.get("content")
            blocks = [read_part(Members(part, "reply")) for part in (parts if isinstance(parts, list) else ())]
            kept = {name: item[name] for name in _OF_ITEM if item.get(name) is not None}
            if blocks and kept:
                blocks[0].extra = blocks[0].extra | {ITEM: kept}
            return blocks
        reader = _READERS.get(kind)
        if reader is not None:
            members = Members(item, f"reply.{kind}")
            members.rest.pop("type", None)
            return [reader(members)]
    except BadRequest:
        pass
    return [Opaque(path=f"reply.{kind}", dialect="responses", kind=kind, value=item)]


def stop_of(response: dict[str, Any], content: list[Block]) -> StopReason:
    """Why the model stopped."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return _INCOMPLETE.get(reason, "length") if isinstance(reason, str) else "length"
    if any(isinstance(block, ToolCall) for block in content):
        return "tool_calls"
    return "refusal" if any(isinstance(block, Refusal) for block in content) else "end"


def seconds(moment: object) -> int | None:
    """The member `created_at`, which may have a fraction."""
    return int(moment) if isinstance(moment, float) and isfinite(moment) else count(moment)
