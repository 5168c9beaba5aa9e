"""Whole answers of Converse, encoded for clients, and what the encoder of streams shares with that.

Source: the shape `ConverseResponse`. Begin reading at `encode_response`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.call_arguments import encode_input
from llmproxy.dialects.converse.citations import encode_link
from llmproxy.dialects.converse.content import encode_id, is_blob
from llmproxy.dialects.converse.media import encode_media
from llmproxy.dialects.converse.response_decode import MORE_FIELDS, STOP_SEQUENCE
from llmproxy.dialects.converse.tables import (
    FIELD_PATHS,
    FORMATS,
    REPLY_TIERS,
    SEAL,
    STOP_SEQUENCE_PATH,
    STOP_WORDS,
)
from llmproxy.dialects.converse.usage import encode_usage
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.lenient_json import string
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
    ToolResult,
)
from llmproxy.dialects.response_fields import kind_of

METRICS = {"latencyMs": 0}
"""The SDKs demand a number; only the provider knows it."""

_UNNAMED = "unnamed"


def encode_response(reply: Reply, request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the whole answer for a client that sent `request`."""
    losses = context.losses
    content = [encoded for block in reply.content if (encoded := encode_answer_block(block, losses)) is not None]
    called = any(isinstance(block, ToolCall) for block in reply.content)
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": encode_stop(reply.stop, called=called),
        "usage": encode_usage(reply.usage),
        "metrics": METRICS,
    }
    body |= more_fields(reply.stop_sequence, request, own=context.own)
    if reply.service_tier is not None:
        word = reply.service_tier if context.own else REPLY_TIERS.get(reply.service_tier)
        if word is None:
            context.drop("reply.service_tier")
        else:
            body["serviceTier"] = {"type": word}
    if reply.stop == "pause":
        context.drop("reply.stop.pause")
    context.put_extra(body, reply)
    return body


def encode_stop(stop: StopReason, *, called: bool) -> str:
    """Return the `stopReason`. Clients look here for whether to call tools."""
    return "tool_use" if stop == "end" and called else STOP_WORDS[stop]


def more_fields(sequence: str | None, request: Request, *, own: bool = False) -> dict[str, Any]:
    """Return the members with the stop sequence, for clients that ask for it."""
    paths = request.extra.get(FIELD_PATHS, request.extra.get(f"~{FIELD_PATHS}"))
    expected = own or (isinstance(paths, list) and STOP_SEQUENCE_PATH in paths)
    return {MORE_FIELDS: {STOP_SEQUENCE: sequence}} if sequence is not None and expected else {}


def encode_answer_block(block: Block, losses: Losses) -> dict[str, Any] | None:
    """Return one block of a reply; None for an empty one, and for one that is listed as dropped."""
    match block:
        case Text():
            return _encode_text(block, losses)
        case Thinking():
            return _encode_thinking(block, losses)
        case Refusal():
            return {"text": block.text} if block.text else None
        case ToolCall():
            call = call_without_input(block, losses)
            return {"toolUse": {**call, "input": encode_input(block, block.arguments, losses)}}
        case Opaque(dialect="converse"):
            return block.value
        case Media():
            return _encode_media(block, losses)
        case ToolResult() | Opaque():
            losses.drop(f"reply.{kind_of(block)}")
    return None


def _encode_media(media: Media, losses: Losses) -> dict[str, Any] | None:
    if media.data is None or media.media_type not in FORMATS[media.kind]:
        losses.drop(f"reply.{kind_of(media)}")
        return None
    return encode_media(media, EncodeContext(losses=losses, own=True))


def _encode_text(text: Text, losses: Losses) -> dict[str, Any] | None:
    if text.logprobs is not None:
        losses.drop("reply.logprobs")
    losses.drop_extra(text)
    citations = [encoded for each in text.annotations if (encoded := encode_link(each, losses)) is not None]
    if citations:
        return {"citationsContent": {"content": [{"text": text.text}], "citations": citations}}
    return {"text": text.text} if text.text else None


def _encode_thinking(thinking: Thinking, losses: Losses) -> dict[str, Any] | None:
    """Return thinking. That of other makers is shown without a signature, or with the name of its field as one."""
    own = thinking.dialect == SEAL
    if own and thinking.redacted:
        if thinking.encrypted is None or is_blob(thinking.encrypted):
            return {"reasoningContent": {"redactedContent": thinking.encrypted or ""}}
        losses.drop("reply.thinking")
        return None
    signature = thinking.signature if own else thinking.field
    if not thinking.text and not signature:
        losses.drop("reply.thinking")
        return None
    return {"reasoningContent": {"reasoningText": {"text": thinking.text, **signed(signature)}}}


def signed(signature: str | None) -> dict[str, str]:
    """Return the member with a signature, if there is one."""
    return {"signature": signature} if signature else {}


def call_without_input(call: ToolCall, losses: Losses) -> dict[str, Any]:
    """Return a call whose input is not known yet. boto3 could not send one without a name back."""
    losses.drop_extra(call)
    return {"toolUseId": encode_id(call.id), "name": call.name or _UNNAMED}


def finish_reason_of(response: Mapping[str, Any]) -> str | None:
    """Return the `stopReason` of a whole answer."""
    return string(response["stopReason"])
