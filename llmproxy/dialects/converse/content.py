"""The blocks of a message's content, decoded and encoded: objects with one member, whose name is their type.

Source: the shapes `ContentBlock`, `ToolResultContentBlock` and `CitationsContentBlock`. Blocks that no second dialect
has are kept as they stand. Begin reading at `decode_blocks` and `encode_blocks`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, assert_never

from llmproxy.dialects.call_arguments import arguments_object
from llmproxy.dialects.converse.cache_points import POINT, Blocks, point_of, take_point
from llmproxy.dialects.converse.citations import decode_citations, encode_citation
from llmproxy.dialects.converse.media import decode_media, encode_media
from llmproxy.dialects.converse.tables import SEAL, MediaKind
from llmproxy.dialects.custom_tools import INPUT
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from llmproxy.wire.json import read_value, write_value

JSON_PART = "~json"
"""Bookkeeping of a text that stood as JSON in the result of a tool."""
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_FAILED = "The tool failed."
"""The content of a failed call without any, which the vendor refuses."""

_Decoders: TypeAlias = Mapping[str, Callable[[Members], Block]]


def decode_blocks(content: object, path: str) -> list[Block]:
    """Return the blocks of a content. Raises BadRequest for what is none."""
    if not isinstance(content, list):
        wrong(path, "is missing" if content is None else f"must be an array, not {name_of(content)}")
    blocks: list[Block] = []
    for index, each in enumerate(content):
        block = Members(each, f"{path}[{index}]")
        decoded = take_point(block, blocks) if POINT in block.rest else decode_block(block)
        if decoded is not None:
            blocks.append(decoded)
    return blocks


def decode_block(block: Members) -> Block:
    """Return one block; `Opaque` where nothing else has it. A `cachePoint` is no block of its own."""
    kind = next((name for name, value in block.rest.items() if value is not None), None)
    if kind is None:
        wrong(block.path, "says nothing")
    decode = _DECODERS.get(kind)
    return Opaque(path=block.path, dialect="converse", kind=kind, value=block.rest) if decode is None else decode(block)


def _decode_text(block: Members) -> Block:
    return Text(path=block.path, text=block.needed_text("text"), extra=block.left())


def _decode_json(block: Members) -> Block:
    value = block.any("json")
    return Text(path=block.path, text=write_value(value).decode(), extra={**block.left(), JSON_PART: value})


def _decoder_of_media(kind: MediaKind) -> Callable[[Members], Block]:
    return lambda block: decode_media(block, kind)


def _decode_call(block: Members) -> Block:
    call = Members(block.rest["toolUse"], block.at("toolUse"))
    if "type" in call.rest:  # the provider ran it
        return Opaque(path=block.path, dialect="converse", kind=str(call.rest["type"]), value=block.rest)
    arguments = call.any("input")
    return ToolCall(
        path=call.path,
        id=call.needed_text("toolUseId"),
        name=call.needed_text("name"),
        arguments=write_value({} if arguments is None else arguments).decode(),
        extra=call.left(),
    )


def _decode_result(block: Members) -> Block:
    result = Members(block.rest["toolResult"], block.at("toolResult"))
    if "type" in result.rest:
        return Opaque(path=block.path, dialect="converse", kind=str(result.rest["type"]), value=block.rest)
    content = decode_blocks(result.any("content"), result.at("content"))
    for each in content:
        if isinstance(each, ToolCall | ToolResult | Thinking):
            wrong(each.path, "is not allowed in the result of a tool")
    status = result.word("status", ("success", "error"))
    decoded = ToolResult(
        path=result.path,
        id=result.needed_text("toolUseId"),
        content=content,
        error=status == "error",
        names={"is_error": "status"},
    )
    decoded.extra = result.left() | ({"~status": status} if status == "success" else {})
    return decoded


def _decode_reasoning(block: Members) -> Block:
    reasoning = Members(block.rest["reasoningContent"], block.at("reasoningContent"))
    redacted = reasoning.text("redactedContent")
    if redacted is not None:
        extra = reasoning.left()
        return Thinking(path=reasoning.path, dialect=SEAL, text="", encrypted=redacted, redacted=True, extra=extra)
    text = Members(reasoning.any("reasoningText"), reasoning.at("reasoningText"))
    return Thinking(
        path=reasoning.path,
        dialect=SEAL,
        text=text.needed_text("text"),
        signature=text.text("signature"),
        extra=nested_extra(reasoning, text),
    )


def _decode_guarded(block: Members) -> Block:
    """Return content that a guardrail judges: to other dialects, its text."""
    guarded = Opaque(path=block.path, dialect="converse", kind="guardContent", value=block.rest)
    inner = Members(block.rest["guardContent"], block.at("guardContent"))
    if isinstance(inner.rest.get("text"), dict):
        text = Members(inner.rest["text"], inner.at("text"))
        guarded.path, guarded.words, guarded.extra = text.path, text.needed_text("text"), text.left()
    return guarded


def _decode_search_result(block: Members) -> Block:
    result = Members(block.rest["searchResult"], block.at("searchResult"))
    found = Opaque(path=result.path, dialect="converse", kind="searchResult", value=block.rest)
    texts = [each.needed_text("text") for each in result.objects("content")]
    found.words = "\n".join([result.needed_text("title"), result.needed_text("source"), *texts])
    found.extra = result.left()
    return found


def _decode_change(block: Members) -> Block:
    """Return a tool that is added to those of the request, or removed."""
    kind = next(iter(block.rest))
    return Opaque(path=block.path, dialect="converse", kind=kind, value=block.rest, declares=True, extra=block.left())


_DECODERS: _Decoders = {
    "text": _decode_text,
    "json": _decode_json,
    "image": _decoder_of_media("image"),
    "document": _decoder_of_media("document"),
    "audio": _decoder_of_media("audio"),
    "video": _decoder_of_media("video"),
    "toolUse": _decode_call,
    "toolResult": _decode_result,
    "reasoningContent": _decode_reasoning,
    "guardContent": _decode_guarded,
    "searchResult": _decode_search_result,
    "citationsContent": decode_citations,
    "toolAddition": _decode_change,
    "toolRemoval": _decode_change,
}


def encode_id(call_id: str) -> str:
    """Return the id of a call or of its result; one that the vendor refuses is replaced, always by the same."""
    if _ID.fullmatch(call_id):
        return call_id
    return f"tooluse_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def encode_blocks(blocks: Sequence[Block], context: EncodeContext, *, caches: bool, status: bool) -> Blocks:
    """Return the blocks for a provider, without those that are dropped. `caches` says that its model has cache points,
    `status` that results of tools may say that they are errors."""
    content: Blocks = []
    for block in blocks:
        encoded = _encode_block(block, context, status=status)
        if encoded is not None:
            content.append(encoded)
        if isinstance(block, Text | Media | ToolCall | ToolResult) and block.cache is not None:
            if (encoded is None or not caches) and not context.own:
                context.drop_cache(block)
            else:
                content.append(point_of(block, context))
    return content


def _encode_block(block: Block, context: EncodeContext, *, status: bool) -> dict[str, Any] | None:
    match block:
        case Text():
            return _encode_text(block, context)
        case Refusal():
            return {"text": block.text} if block.text.strip() else None
        case Media():
            return encode_media(block, context)
        case ToolCall():
            return {"toolUse": _encode_call(block, context)}
        case ToolResult():
            return {"toolResult": _encode_result(block, context, status=status)}
        case Thinking():
            return _encode_thinking(block, context)
        case Opaque():
            return _own_value(block, context)
        case _:
            assert_never(block)


def _own_value(block: Opaque, context: EncodeContext) -> dict[str, Any]:
    if block.dialect != "converse":
        context.refuse(block.path, f"A block of kind {block.kind!r} exists in its own API only, not in Converse")
    return block.value


def _encode_text(text: Text, context: EncodeContext) -> dict[str, Any] | None:
    """Return a text. The vendor refuses blank ones."""
    if text.logprobs is not None:
        context.drop(f"{text.path}.logprobs")
    if not context.own:
        context.drop_annotations(text)
        context.drop_extra(text)
        return {"text": text.text} if text.text.strip() else None
    if JSON_PART in text.extra:
        return {"json": text.extra[JSON_PART]}
    if not text.annotations:
        return {"text": text.text, **text.extra}
    citations = [encode_citation(each) for each in text.annotations]
    return {"citationsContent": {"content": [{"text": text.text}], "citations": citations, **text.extra}}


def _encode_call(call: ToolCall, context: EncodeContext) -> dict[str, Any]:
    arguments: Any
    if call.custom:
        arguments = {INPUT: call.arguments}
    elif context.own:  # a client's own may be any JSON
        arguments = read_value(call.arguments.encode("utf-8", "surrogatepass"))
    else:
        arguments = arguments_object(call, context)
    members = {"toolUseId": _encode_id(call.id, context), "name": call.name, "input": arguments}
    context.put_extra(members, call)
    return members


def _encode_result(result: ToolResult, context: EncodeContext, *, status: bool) -> dict[str, Any]:
    for each in result.content:
        if isinstance(each, ToolCall | ToolResult | Thinking | Media) and not (
            isinstance(each, Media) and each.kind != "audio"
        ):
            context.refuse(each.path, "A block of this kind is not allowed in the result of a tool")
    content = encode_blocks(result.content, context, caches=False, status=status)
    members: dict[str, Any] = {"toolUseId": _encode_id(result.id, context), "content": content}
    if result.error:
        if status or context.own:
            members["status"] = "error"
        if not content and not context.own:
            content.append({"text": _FAILED})
    context.put_extra(members, result)
    return members


def _encode_id(call_id: str, context: EncodeContext) -> str:
    return call_id if context.own else encode_id(call_id)


def is_blob(text: str) -> bool:
    """Return whether a text can stand where the service has bytes: as base64, which its SDKs decode."""
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _encode_thinking(thinking: Thinking, context: EncodeContext) -> dict[str, Any] | None:
    """Return thinking as its maker sealed it. Others refuse that of other makers."""
    reasoning: dict[str, Any]
    sealed, blob = thinking.dialect == SEAL, thinking.encrypted
    if sealed and thinking.redacted and blob and (context.own or is_blob(blob)):
        reasoning = {"redactedContent": blob}
    elif sealed and (thinking.signature or context.own):
        reasoning = {"reasoningText": {"text": thinking.text}}
        if thinking.signature is not None:
            reasoning["reasoningText"]["signature"] = thinking.signature
    else:
        context.drop(thinking.path)
        context.drop_extra(thinking)
        return None
    context.put_extra(reasoning, thinking)
    return {"reasoningContent": reasoning}
