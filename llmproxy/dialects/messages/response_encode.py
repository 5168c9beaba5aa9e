"""Whole messages, encoded for clients, and what the encoder of streams shares with that.

Source: the SDK's `message` type. Begin reading at `encode_response`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.call_arguments import encode_input
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.extra import put_back
from llmproxy.dialects.lenient_json import string
from llmproxy.dialects.messages.content import PLACES, encode_citation, encode_id
from llmproxy.dialects.messages.tables import REPLY_TIERS, STOP_WORDS
from llmproxy.dialects.messages.usage import encode_usage
from llmproxy.dialects.model import (
    Block,
    Citation,
    Media,
    Opaque,
    Place,
    Refusal,
    Reply,
    Request,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.dialects.request_fields import put_tier
from llmproxy.dialects.response_fields import bare_id, kind_of
from llmproxy.dialects.usage import Usage


def encode_response(reply: Reply, request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the whole answer for a client that sent `request`."""
    losses = context.losses
    content = [encoded for block in reply.content if (encoded := encode_answer_block(block, losses)) is not None]
    called = any(isinstance(block, ToolCall) for block in reply.content)
    body = empty_message(reply.id, reply.model or request.model, reply.usage)
    body["content"] = content
    body["stop_reason"] = encode_stop(reply.stop, called=called)
    body["stop_sequence"] = reply.stop_sequence
    if reply.service_tier is not None:
        put_tier(body["usage"], reply.service_tier, REPLY_TIERS, "reply.service_tier", context)
    context.put_extra(body, reply)
    return body


def empty_message(reply_id: str, model: str, usage: Usage | None) -> dict[str, Any]:
    """Return a message that has only begun."""
    return {
        "id": f"msg_{bare_id(reply_id) or uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": encode_usage(usage),
    }


def encode_stop(stop: StopReason, *, called: bool) -> str:
    """Return the `stop_reason`. Clients look here for whether to call tools."""
    return "tool_use" if stop == "end" and called else STOP_WORDS[stop]


def encode_answer_block(block: Block, losses: Losses) -> dict[str, Any] | None:
    """Return one block of a reply; None for an empty one, and for one that is listed as dropped."""
    match block:
        case Text():
            return _encode_text(block, losses)
        case Thinking():
            return _encode_thinking(block, losses)
        case Refusal():
            losses.drop_extra(block)
            return {"type": "text", "text": block.text} if block.text else None
        case ToolCall():
            return {**call_without_input(block, losses), "input": encode_input(block, block.arguments, losses)}
        case Opaque(dialect="messages"):
            return block.value
        case ToolResult():
            losses.drop("reply.tool_result")
        case Opaque() | Media():
            losses.drop(f"reply.{kind_of(block)}")
    return None


def _encode_text(text: Text, losses: Losses) -> dict[str, Any] | None:
    if text.logprobs is not None:
        losses.drop("reply.logprobs")
    losses.drop_extra(text)
    citations = [encoded for each in text.annotations if (encoded := encode_link(each, losses)) is not None]
    if not text.text and not citations:
        return None  # a client that sent it back would be refused
    return {"type": "text", "text": text.text, **({"citations": citations} if citations else {})}


def encode_link(citation: Citation, losses: Losses) -> dict[str, Any] | None:
    """Return one of `citations`; one of another dialect as a link. Its position in the text is dropped."""
    if isinstance(citation.extra.get("type"), str) and citation.extra["type"].endswith("_location"):
        return encode_citation(citation)
    if citation.place is not None:
        return _in_document(citation, citation.place)
    losses.drop_extra(citation)
    if citation.url is None:
        losses.drop("reply.citation")
        return None
    if citation.start is not None or citation.end is not None:
        losses.drop("reply.citation.position")
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }


def _in_document(citation: Citation, place: Place) -> dict[str, Any]:
    name, start, end = next((name, *names) for name, (kind, *names) in PLACES.items() if kind == place.kind)
    return {
        "type": name,
        "cited_text": citation.quote or "",
        "document_index": place.document,
        "document_title": citation.title,
        start: place.start,
        end: place.end,
        "file_id": None,
    }


def _encode_thinking(thinking: Thinking, losses: Losses) -> dict[str, Any] | None:
    """Return thinking. That of other dialects is shown without a signature, or with the name of its field as one."""
    own = thinking.dialect == "messages"
    if own and thinking.redacted:
        return {"type": "redacted_thinking", "data": thinking.encrypted or ""}
    if thinking.text or (own and thinking.signature):
        signature = thinking.signature if own else thinking.field
        return {"type": "thinking", "thinking": thinking.text, "signature": signature or ""}
    losses.drop("reply.thinking")
    return None


def call_without_input(call: ToolCall, losses: Losses) -> dict[str, Any]:
    """Return a call whose input is not known yet."""
    block: dict[str, Any] = {"type": "tool_use", "id": encode_id(call.id), "name": call.name, "input": {}}
    if "caller" in call.extra or "toolset_name" in call.extra:
        put_back(block, call.extra)
    else:
        losses.drop_extra(call)
    return block


def finish_reason_of(response: Mapping[str, Any]) -> str | None:
    """Return the `stop_reason` of a whole answer."""
    return string(response["stop_reason"])
