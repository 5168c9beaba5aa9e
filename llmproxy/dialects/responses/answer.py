"""Whole responses, read into the neutral vocabulary. Begin reading at `decode_reply`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from llmproxy.dialects.base import Usage
from llmproxy.dialects.codec import BadReply
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Foreign, Refusal, Reply, StopReason, ToolCall
from llmproxy.dialects.reading import count, error_message, string
from llmproxy.dialects.responses.items import read_custom_call, read_function_call, read_reasoning
from llmproxy.dialects.responses.parts import read_part
from llmproxy.dialects.responses.reply import UsageFields, read_usage
from llmproxy.errors import BadRequest
from llmproxy.wire.json import read_value

_FAILED = ("failed", "cancelled")
_INCOMPLETE: dict[str, StopReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_READERS: dict[str, Callable[[Members], Block]] = {
    "function_call": read_function_call,
    "custom_tool_call": read_custom_call,
    "reasoning": read_reasoning,
}


def decode_reply(body: bytes) -> Reply:
    """A provider's whole answer. Raises BadReply when it is no response, or one that failed."""
    value = read_value(body)
    if not isinstance(value, dict):
        raise BadReply("The provider's answer is no response: it is not a JSON object")
    error = error_message(value.get("error"))
    if error is not None or value.get("status") in _FAILED:
        raise BadReply(f"The provider answered with an error: {error or value.get('status')}")
    output = value.get("output")
    if not isinstance(output, list):
        raise BadReply("The provider's answer is no response: it has no output")
    content = [block for item in output if isinstance(item, dict) for block in read_item(item)]
    stop = stop_of(value, content)
    return Reply(
        path="reply",
        id=string(value.get("id")) or "",
        dialect="responses",
        model=string(value.get("model")) or "",
        content=content,
        stop=stop,
        usage=usage_of(value.get("usage")),
        created_s=_seconds(value.get("created_at")),
        service_tier=string(value.get("service_tier")),
    )


def read_item(item: dict[str, Any]) -> list[Block]:
    """The blocks of an output item; one that is not as it should be is `Foreign`."""
    kind = string(item.get("type")) or "unknown"
    try:
        if kind == "message":
            parts = item.get("content")
            return [read_part(Members(part, "reply.content")) for part in (parts if isinstance(parts, list) else ())]
        reader = _READERS.get(kind)
        if reader is not None:
            members = Members(item, f"reply.{kind}")
            members.rest.pop("type", None)
            return [reader(members)]
    except BadRequest:
        pass
    return [Foreign(path=f"reply.{kind}", dialect="responses", kind=kind, value=item)]


def stop_of(response: dict[str, Any], content: list[Block]) -> StopReason:
    """Why the model stopped."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return _INCOMPLETE.get(reason, "length") if isinstance(reason, str) else "length"
    if any(isinstance(block, ToolCall) for block in content):
        return "tool_calls"
    return "refusal" if any(isinstance(block, Refusal) for block in content) else "end"


def usage_of(usage: object) -> Usage | None:
    """The object `usage`."""
    try:
        return read_usage(msgspec.convert(usage, UsageFields)) if isinstance(usage, dict) else None
    except msgspec.ValidationError:
        return None


def _seconds(moment: object) -> int | None:
    return int(moment) if isinstance(moment, float) else count(moment)
