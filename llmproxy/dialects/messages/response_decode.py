"""Whole messages, decoded into the neutral vocabulary.

Source: the SDK's `message` type. Of `usage`, how the cache was written and where the model ran are bookkeeping and are
left out. Begin reading at `decode_response`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from llmproxy.dialects.call_arguments import arguments_of
from llmproxy.dialects.content import decode_part
from llmproxy.dialects.extra import Inner
from llmproxy.dialects.lenient_json import object_of, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.messages.content import DECODERS
from llmproxy.dialects.messages.tables import SERVER_TOOLS, STOP_REASONS
from llmproxy.dialects.messages.usage import UsageFields, decode_usage
from llmproxy.dialects.model import Block, Reply, StopReason, Text, ToolCall
from llmproxy.dialects.response_fields import decode_object, not_a
from llmproxy.errors import BadRequest

# What compatible services leave out, above all where it comes later in a stream.
_DEFAULTS: dict[object, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": ""},
    "tool_use": {"input": {}},
}
_DIRECT = {"type": "direct"}
_DECODED = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}


class _PlainText(msgspec.Struct, tag_field="type", tag="text", forbid_unknown_fields=True, gc=False):
    text: str
    citations: None = None


class _PlainMessage(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[_PlainText]
    usage: UsageFields
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: None = None
    container: None = None
    context_management: None = None


_PLAIN = msgspec.json.Decoder(_PlainMessage)


def _decode_plain(body: bytes) -> Reply | None:
    """Return an answer of texts and nothing more, as most are: 4 µs instead of 20. None for any other."""
    try:
        message = _PLAIN.decode(body)
    except (ValueError, RecursionError):
        return None
    usage, reason = message.usage, message.stop_reason
    if usage.server_tool_use is not None:
        return None
    return Reply(
        path="reply",
        dialect="messages",
        id=message.id,
        model=message.model,
        content=[Text(path=f"reply.content[{at}]", text=each.text) for at, each in enumerate(message.content)],
        stop=decode_stop(reason, called=False),
        stop_sequence=message.stop_sequence or None,
        stop_word=reason or None,
        usage=decode_usage(usage),
        service_tier=string(usage.service_tier),
    )


def decode_response(body: bytes) -> Reply:
    """Return a provider's whole answer. Raises BadReply when it is not a message."""
    plain = _decode_plain(body)
    return decode_any_response(body) if plain is None else plain


def decode_any_response(body: bytes) -> Reply:
    """Return what `decode_response` does, for plain answers too, member by member."""
    value = decode_object(body, "message", "content")
    content = value.get("content")
    if not isinstance(content, list):
        raise not_a("message", "it has no content")
    blocks = [decode_answer_block(each, f"reply.content[{index}]") for index, each in enumerate(content)]
    usage = value.get("usage")
    counts = object_of(usage)
    extra = {name: each for name, each in value.items() if name not in _DECODED and each is not None}
    used = used_tools(counts)
    if used is not None:
        extra["usage"] = Inner({SERVER_TOOLS: used})
    return Reply(
        path="reply",
        dialect="messages",
        extra=extra,
        id=string(value.get("id")) or "",
        model=string(value.get("model")) or "",
        content=blocks,
        stop=decode_stop(value.get("stop_reason"), called=any(isinstance(block, ToolCall) for block in blocks)),
        stop_sequence=string(value.get("stop_sequence")),
        stop_word=string(value.get("stop_reason")),
        usage=decode_usage(usage),
        service_tier=string(counts.get("service_tier")),
    )


def decode_answer_block(block: object, path: str) -> Block:
    """Return one block of an answer. Raises BadReply."""
    input_: object = None
    if isinstance(block, dict) and isinstance(kind := block.get("type"), str):
        block = _DEFAULTS.get(kind, {}) | {name: value for name, value in block.items() if value is not None}
        if kind == "tool_use" and not isinstance(block["input"], dict):
            input_, block["input"] = block["input"], {}
    try:
        decoded = decode_part(Members(block, path), DECODERS, "messages")
    except BadRequest as error:
        raise not_a("message", error.message) from error
    if isinstance(decoded, ToolCall):
        if input_ is not None:
            decoded.arguments = arguments_of(input_)
        if decoded.extra.get("caller") == _DIRECT:
            del decoded.extra["caller"]  # part of each call that the model itself makes
    return decoded


def decode_stop(reason: object, *, called: bool) -> StopReason:
    """Return why the model stopped. Compatible services end turns with calls like others."""
    stop = STOP_REASONS.get(reason, "end") if isinstance(reason, str) else "end"
    return "tool_calls" if stop == "end" and called else stop


def used_tools(usage: dict[str, Any]) -> dict[str, Any] | None:
    """Return how often built-in tools were used, when any was."""
    used = usage.get(SERVER_TOOLS)
    return used if isinstance(used, dict) and any(used.values()) else None
