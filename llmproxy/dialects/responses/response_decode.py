"""Whole responses, decoded into the neutral vocabulary. Begin reading at `decode_response`."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from llmproxy.dialects.call_arguments import arguments_of, arguments_text
from llmproxy.dialects.content import decode_part
from llmproxy.dialects.extra import ITEM
from llmproxy.dialects.lenient_json import count, object_of, objects, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Opaque, Refusal, Reply, StopReason, ToolCall
from llmproxy.dialects.response_fields import answered_with_error, decode_object, not_a
from llmproxy.dialects.responses.content import DECODERS
from llmproxy.dialects.responses.request_messages import OUTPUT_DECODERS
from llmproxy.dialects.responses.tables import CALL_TYPES, ECHOED, STOP_REASONS
from llmproxy.dialects.responses.usage import count_searches, decode_usage
from llmproxy.errors import BadRequest

_FAILED = ("failed", "cancelled")
# Decoded, or repeated from the request.
_DECODED = frozenset(
    (
        *("id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "model", "output"),
        *("output_text", "usage", "service_tier", "background", "conversation", "prompt", "prompt_cache_options"),
        *("prompt_cache_retention", "image", "access_programs", "billing", "store", *ECHOED),
    )
)
_OF_ITEM = ("id", "status", "phase")
# Where each kind of call has its arguments, and what reads them.
_ARGUMENTS = {CALL_TYPES[False]: ("arguments", arguments_of), CALL_TYPES[True]: ("input", arguments_text)}


def decode_response(body: bytes) -> Reply:
    """Return a provider's whole answer. Raises BadReply when it is not a response, or one that failed."""
    value = decode_object(body, "response", "output")
    if value.get("status") in _FAILED:
        raise answered_with_error(str(value["status"]), value.get("error"))
    output = value.get("output")
    if not isinstance(output, list):
        raise not_a("response", "it has no output")
    content = [block for item in objects(output) for block in decode_item(item)]
    return Reply(
        path="reply",
        id=string(value.get("id")) or "",
        dialect="responses",
        model=string(value.get("model")) or "",
        content=content,
        stop=decode_stop(value, content),
        stop_word=finish_reason_of(value),
        usage=decode_usage(value.get("usage"), value.get("service_tier"), count_searches(output)),
        created_s=decode_time(value.get("created_at")),
        service_tier=string(value.get("service_tier")),
        extra={name: each for name, each in value.items() if name not in _DECODED and each not in (None, [], {})},
    )


def decode_item(item: dict[str, Any]) -> list[Block]:
    """Return the blocks of an output item; one that is not as it should be is `Opaque`."""
    kind = string(item.get("type")) or "unknown"
    try:
        if kind == "message":
            return _decode_message(item)
        decode = OUTPUT_DECODERS.get(kind)
        if decode is not None:
            member = _ARGUMENTS.get(kind)
            if member is not None:
                item = item | {member[0]: member[1](item.get(member[0]))}
            members = Members(item, f"reply.{kind}")
            members.rest.pop("type", None)
            return [decode(members)]
    except BadRequest:
        pass
    return [Opaque(path=f"reply.{kind}", dialect="responses", kind=kind, value=item)]


def _decode_message(item: dict[str, Any]) -> list[Block]:
    parts = item.get("content")
    blocks = [
        decode_part(Members(part, "reply"), DECODERS, "responses")
        for part in (parts if isinstance(parts, list) else ())
    ]
    rest = {name: item[name] for name in _OF_ITEM if item.get(name) is not None}
    if blocks and rest:
        blocks[0].extra = blocks[0].extra | {ITEM: rest}
    return blocks


def decode_stop(response: dict[str, Any], content: list[Block]) -> StopReason:
    """Return why the model stopped."""
    if response.get("status") == "incomplete":
        reason = object_of(response.get("incomplete_details")).get("reason")
        return STOP_REASONS.get(reason, "length") if isinstance(reason, str) else "length"
    if any(isinstance(block, ToolCall) for block in content):
        return "tool_calls"
    return "refusal" if any(isinstance(block, Refusal) for block in content) else "end"


def decode_time(value: object) -> int | None:
    """Return the seconds in a member `created_at`, which may have a fraction."""
    return int(value) if isinstance(value, float) and isfinite(value) else count(value)


def finish_reason_of(response: Mapping[str, Any]) -> str | None:
    """Return the finish reason of a response object: why it is incomplete, else its status."""
    return string(object_of(response.get("incomplete_details")).get("reason")) or string(response.get("status"))
