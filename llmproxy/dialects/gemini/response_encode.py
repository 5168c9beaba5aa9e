"""Whole answers of generateContent, encoded for clients, and what the encoder of streams shares with that.

Thoughts are shown to clients that ask for them, as the vendor does. Begin reading at `encode_response`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.call_arguments import encode_input
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.extra import put_back
from llmproxy.dialects.gemini.citations import GROUNDING, encode_citations
from llmproxy.dialects.gemini.content import OWN_SIGNATURE, encode_call
from llmproxy.dialects.gemini.logprobs import encode_logprobs
from llmproxy.dialects.gemini.media import encode_media
from llmproxy.dialects.gemini.response_decode import CANDIDATE
from llmproxy.dialects.gemini.tables import BLOCKED, FINISH_WORDS, NAME, SIGNATURE
from llmproxy.dialects.gemini.usage import encode_usage
from llmproxy.dialects.lenient_json import string
from llmproxy.dialects.model import (
    Block,
    Citation,
    Media,
    Opaque,
    Refusal,
    Reply,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.dialects.response_fields import bare_id, drop_stop_details, kind_of

_TEXT = {"text"}
_USUAL_TIERS = (None, "default", "standard")
"""The service tiers of those who did not ask for another; answers of gemini do not name theirs."""


def encode_response(reply: Reply, request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the whole answer for a client that sent `request`."""
    losses = context.losses
    shown = context.own or shows_thoughts(request)
    parts: list[dict[str, Any]] = []
    for block in reply.content:
        part = encode_answer_part(block, losses, shown=shown)
        if part is not None:
            _add(parts, part)
    extra = dict(reply.extra) if context.own else {}
    if context.own and not parts and reply.stop == "refusal" and reply.stop_word in BLOCKED:
        body: dict[str, Any] = {"promptFeedback": {"blockReason": reply.stop_word}}
    else:
        candidate: dict[str, Any] = {
            "content": {"parts": parts, "role": "model"},
            "finishReason": reply.stop_word if context.own and reply.stop_word else FINISH_WORDS[reply.stop],
            "index": 0,
        }
        _add_annotations(candidate, reply, losses)
        put_back(candidate, extra.pop(CANDIDATE, {}))
        body = {"candidates": [candidate]}
    if reply.usage is not None:
        body["usageMetadata"] = encode_usage(reply.usage)
    body |= identity(reply.id, reply.model or request.model)
    if reply.service_tier not in _USUAL_TIERS:
        context.drop("reply.service_tier")
    drop_stop_details(losses, reply.stop, reply.stop_sequence)
    if context.own:
        put_back(body, extra)
    else:
        losses.drop_extra(reply)
    return body


def _add(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """Add a part; a text joins the one before it, as in a stream."""
    if parts and part.keys() == parts[-1].keys() == _TEXT:
        parts[-1] = {"text": parts[-1]["text"] + part["text"]}
    else:
        parts.append(part)


def identity(reply_id: str, model: str) -> dict[str, str]:
    """Return the members that name an answer and its model."""
    return {"modelVersion": model, "responseId": bare_id(reply_id) or uuid.uuid4().hex}


def shows_thoughts(request: Request) -> bool:
    """Say whether a client asked for thoughts."""
    return request.reasoning.summary not in (None, "omitted")


def encode_answer_part(block: Block, losses: Losses, *, shown: bool) -> dict[str, Any] | None:
    """Return one part of an answer; None for an empty one, and for what has no place."""
    match block:
        case Text():
            losses.drop_extra(block)
            part = {"text": block.text} | _own_signature(block)
            return part if block.text or len(part) > 1 else None
        case Refusal():
            losses.drop_extra(block)
            return {"text": block.text} if block.text else None
        case Thinking():
            return encode_thought(block, block.text, block.signature) if shown else None
        case ToolCall():
            losses.drop_extra(block)
            return encode_call(block, encode_input(block, block.arguments, losses))
        case Opaque(dialect="gemini"):
            return block.value
        case Media():
            return encode_media(block, EncodeContext(losses=losses, own=True))
        case ToolResult() | Opaque():
            losses.drop(f"reply.{kind_of(block)}")
    return None


def _own_signature(text: Text) -> dict[str, Any]:
    signature = text.extra.get(OWN_SIGNATURE)
    return {} if signature is None else {SIGNATURE: signature}


def encode_thought(thinking: Thinking, text: str, signature: str | None) -> dict[str, Any] | None:
    """Return a thought. What another vendor signed is shown without a signature."""
    signed = {SIGNATURE: signature} if signature and thinking.dialect == NAME else {}
    return {"text": text, "thought": True, **signed} if text or signed else None


def _add_annotations(candidate: dict[str, Any], reply: Reply, losses: Losses) -> None:
    """Add what the texts cite, and the probabilities of their tokens."""
    citations: list[Citation] = []
    logprobs: list[Any] = []
    text = ""
    for block in reply.content:
        if isinstance(block, Text):
            citations += shifted(block.annotations, len(text))
            logprobs += block.logprobs or []
            text += block.text
    if citations:
        candidate |= encode_citations(citations, text)
        if GROUNDING not in candidate or any(each.url is None for each in citations):
            losses.drop("reply.citation")
    if logprobs:
        candidate["logprobsResult"] = encode_logprobs(logprobs)


def shifted(citations: list[Citation], offset: int) -> list[Citation]:
    """Return citations of a text behind `offset` characters."""
    if not offset:
        return citations
    return [
        Citation(
            url=each.url,
            title=each.title,
            start=None if each.start is None else each.start + offset,
            end=None if each.end is None else each.end + offset,
        )
        for each in citations
    ]


def finish_reason_of(response: Mapping[str, Any]) -> str | None:
    """Return the `finishReason` of a whole answer, or why its prompt was blocked."""
    candidates = response.get("candidates")
    if not candidates:
        return str(response["promptFeedback"]["blockReason"])
    return string(candidates[0].get("finishReason"))
