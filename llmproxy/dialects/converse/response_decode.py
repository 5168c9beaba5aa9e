"""Whole answers of Converse, decoded into the neutral vocabulary. They name neither themselves nor their model.

Source: the shape `ConverseResponse`. How long the answer took, how the cache was written and what the request said
itself are bookkeeping. Begin reading at `decode_response`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.converse.content import decode_block
from llmproxy.dialects.converse.tables import STOP_REASONS
from llmproxy.dialects.converse.usage import decode_usage
from llmproxy.dialects.extra import Inner
from llmproxy.dialects.lenient_json import object_of, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Reply, StopReason, ToolCall
from llmproxy.dialects.response_fields import decode_object, not_a
from llmproxy.errors import BadRequest

_NAME = "Converse answer"
STOP_SEQUENCE, MORE_FIELDS = "stop_sequence", "additionalModelResponseFields"
_DECODED = {"output", "stopReason", "usage", "serviceTier", MORE_FIELDS}
_BOOKKEEPING = {"metrics", "performanceConfig"}


def decode_response(body: bytes) -> Reply:
    """Return a provider's whole answer. Raises BadReply when it is not one of Converse."""
    value = decode_object(body, _NAME, "output")
    message = object_of(object_of(value.get("output")).get("message"))
    content = message.get("content")
    if not isinstance(content, list):
        raise not_a(_NAME, "it has no message with content")
    blocks = [decode_answer_block(each, f"reply.content[{index}]") for index, each in enumerate(content)]
    sequence, more = decode_more_fields(value.get(MORE_FIELDS))
    reply = Reply(
        path="reply",
        dialect="converse",
        id="",
        model="",
        content=blocks,
        stop=decode_stop(value.get("stopReason"), called=any(isinstance(block, ToolCall) for block in blocks)),
        stop_sequence=sequence,
        stop_word=string(value.get("stopReason")),
        usage=decode_usage(value.get("usage"), value.get("serviceTier")),
        service_tier=string(object_of(value.get("serviceTier")).get("type")),
    )
    reply.extra = {
        f"~{name}" if name in _BOOKKEEPING else name: each
        for name, each in value.items()
        if name not in _DECODED and each is not None
    }
    if more:
        reply.extra[MORE_FIELDS] = Inner(more)
    details = object_of(value.get("usage")).get("cacheDetails")
    if details:
        reply.extra["~usage"] = Inner(cacheDetails=details)
    return reply


def decode_answer_block(block: object, path: str) -> Block:
    """Return one block of an answer. Raises BadReply."""
    try:
        return decode_block(Members(block, path))
    except BadRequest as error:
        raise not_a(_NAME, error.message) from error


def decode_stop(reason: object, *, called: bool) -> StopReason:
    """Return why the model stopped. Imitations end turns with calls like others."""
    stop = STOP_REASONS.get(reason, "end") if isinstance(reason, str) else "end"
    return "tool_calls" if reason == "end_turn" and called else stop


def decode_more_fields(value: object) -> tuple[str | None, dict[str, Any]]:
    """Return the stop sequence in the fields of the model that were asked for, and the others."""
    fields = dict(object_of(value))
    return string(fields.pop(STOP_SEQUENCE, None)), {name: each for name, each in fields.items() if each is not None}
