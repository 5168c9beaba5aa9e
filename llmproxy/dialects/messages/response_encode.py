"""Writing whole messages for clients, and what the writer of streams shares with that.

Source: the SDK's `message` type. It demands numbers where a provider may have told none, which are then 0.
Begin reading at `encode_response`.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.custom_tools import INPUT
from llmproxy.dialects.messages.extras import put_extra
from llmproxy.dialects.messages.request_messages import RAW, read_object, write_citation, write_id
from llmproxy.dialects.messages.usage import encode_usage
from llmproxy.dialects.model import (
    Block,
    Citation,
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

REASONS: dict[StopReason, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "content_filter": "refusal",
    "pause": "pause_turn",
    "context_window": "model_context_window_exceeded",
}

_PREFIX = re.compile(r"(?:msg|resp|chatcmpl)[-_]")
_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}


def encode_response(reply: Reply, request: Request, losses: Losses) -> dict[str, Any]:
    """The whole answer for a client that sent `request`."""
    content = [told for block in reply.content if (told := write_block(block, losses)) is not None]
    called = any(isinstance(block, ToolCall) for block in reply.content)
    written: dict[str, Any] = {
        **begun(reply.id, reply.model or request.model, encode_usage(reply.usage)),
        "content": content,
        "stop_reason": reason_of(reply.stop, called=called),
        "stop_sequence": reply.stop_sequence,
    }
    if reply.service_tier is not None:
        tier = reply.service_tier if reply.dialect == "messages" else _TIERS.get(reply.service_tier)
        if tier is None:
            losses.drop("reply.service_tier")
        else:
            written["usage"]["service_tier"] = tier
    put_extra(written, reply, own=reply.dialect == "messages", losses=losses)
    return written


def begun(reply_id: str, model: str, usage: dict[str, Any]) -> dict[str, Any]:
    """A message that has only begun."""
    return {
        "id": f"msg_{_PREFIX.sub('', reply_id, count=1) or uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def reason_of(stop: StopReason, *, called: bool) -> str:
    """The `stop_reason`. Clients look here for whether to call tools."""
    return "tool_use" if stop == "end" and called else REASONS[stop]


def write_block(block: Block, losses: Losses) -> dict[str, Any] | None:
    """One block of a reply; None for one that is empty or has no place here, which is listed."""
    match block:
        case Text():
            return _text(block, losses)
        case Thinking():
            return _thinking(block, losses)
        case Refusal():
            losses.drop_extra(block)
            return {"type": "text", "text": block.text} if block.text else None
        case ToolCall():
            return {**opened_call(block, losses), "input": write_input(block.arguments, block.custom, losses)}
        case Opaque(dialect="messages"):
            return block.value
        case Opaque() | Media():
            losses.drop(f"reply.{block.kind}")
        case ToolResult():
            losses.drop("reply.tool_result")
    return None


def _text(text: Text, losses: Losses) -> dict[str, Any] | None:
    if text.logprobs is not None:
        losses.drop("reply.logprobs")
    losses.drop_extra(text)
    cited = [written for each in text.annotations if (written := write_source(each, losses)) is not None]
    if not text.text and not cited:
        return None  # a client that sent it back would be refused
    return {"type": "text", "text": text.text, **({"citations": cited} if cited else {})}


def write_source(citation: Citation, losses: Losses) -> dict[str, Any] | None:
    """One of `citations`: from elsewhere, a link that the text has. Where in the text it stands has no place here."""
    if isinstance(citation.extra.get("type"), str) and citation.extra["type"].endswith("_location"):
        return write_citation(citation)
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


def _thinking(thinking: Thinking, losses: Losses) -> dict[str, Any] | None:
    """Thinking. That of other dialects is shown without a seal, or with the place where it belongs for one."""
    own = thinking.dialect == "messages"
    if own and thinking.redacted:
        return {"type": "redacted_thinking", "data": thinking.encrypted or ""}
    if thinking.text or (own and thinking.signature):
        signature = thinking.signature if own else thinking.field
        return {"type": "thinking", "thinking": thinking.text, "signature": signature or ""}
    losses.drop("reply.thinking")
    return None


def opened_call(call: ToolCall, losses: Losses) -> dict[str, Any]:
    """A call whose input is not told yet."""
    written: dict[str, Any] = {"type": "tool_use", "id": write_id(call.id), "name": call.name, "input": {}}
    own = "caller" in call.extra or "toolset_name" in call.extra
    put_extra(written, call, own=own, losses=losses)
    return written


def write_input(arguments: str, custom: bool, losses: Losses) -> dict[str, Any]:
    """The input of a call. Arguments that are no JSON object are kept as text."""
    if custom:
        return {INPUT: arguments}
    given = read_object(arguments)
    if given is None:
        losses.drop("reply.tool_call.arguments")
        return {RAW: arguments}
    return given
