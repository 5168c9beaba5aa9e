"""The system prompt and the contents of a request, encoded. Decoding is in `request_decode.py`.

The vendor wants the responses of one turn's calls together, as many as there were calls, and from Gemini 3 on the
signature of the first call of each turn. Source: ai.google.dev/gemini-api/docs/function-calling and
.../thought-signatures. Begin reading at `encode_contents`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.gemini.content import encode_part
from llmproxy.dialects.gemini.models import Family
from llmproxy.dialects.gemini.tables import FILLER, SIGNATURE
from llmproxy.dialects.model import Block, Message, Request, ToolCall, ToolResult

Parts = list[dict[str, Any]]


def encode_system(request: Request, context: EncodeContext) -> dict[str, Any] | None:
    """Return the member `systemInstruction`."""
    parts: Parts = []
    for instruction in request.system:
        for text in instruction.content:
            parts += encode_part(text, {}, context, media_results=False)
        context.drop_extra(instruction)
    own = request.extra.get("~systemInstruction") if context.own else None
    if not parts and own is None:
        return None
    return {"parts": parts, **{name.removeprefix("~"): value for name, value in (own or {}).items()}}


def encode_contents(messages: Sequence[Message], family: Family, context: EncodeContext) -> list[dict[str, Any]]:
    """Return the member `contents`. Messages of which nothing is left are left out, as the vendor refuses them."""
    names: dict[str, str] = {}
    encoded: list[dict[str, Any]] = []
    answering = False
    for message in messages:
        _drop_name(message, context)
        blocks = message.content if context.own else _ordered(message.content, names)
        names |= {block.id: block.name for block in blocks if isinstance(block, ToolCall)}
        inside = family.media_results
        parts = [part for block in blocks for part in encode_part(block, names, context, media_results=inside)]
        role = "model" if message.role == "assistant" else "user"
        if encoded and not context.own and encoded[-1]["role"] == role and (role == "model" or answering):
            encoded[-1]["parts"] += parts
        elif parts or context.own:
            encoded.append({"role": role, "parts": parts})
        else:
            context.drop_extra(message)
            continue
        _put_extra(encoded[-1], message, context)
        answering = role == "user" and all([isinstance(block, ToolResult) for block in message.content])
    for content in encoded if family.signs and not context.own else ():
        _sign(content["parts"])
    return encoded


def _ordered(blocks: list[Block], calls: Mapping[str, str]) -> list[Block]:
    """Return the content of a user's message, with the results of tools first, in the order of their calls."""
    results = [block for block in blocks if isinstance(block, ToolResult)]
    if not results:
        return blocks
    order = {call_id: place for place, call_id in enumerate(calls)}
    results.sort(key=lambda result: order.get(result.id, len(order)))
    return [*results, *(block for block in blocks if not isinstance(block, ToolResult))]


def _drop_name(message: Message, context: EncodeContext) -> None:
    if message.name is not None:
        context.drop(f"{message.path}.name")


def _put_extra(content: dict[str, Any], message: Message, context: EncodeContext) -> None:
    context.put_extra(content, message)
    if content["role"] is None:
        del content["role"]


def _sign(parts: Parts) -> None:
    """Give the first call of a turn the filler where it has no signature: other models made it."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault(SIGNATURE, FILLER)
