"""The blocks of a message's content, decoded and encoded: text, media, tool calls and results, thinking.

Source: the SDK's `content_block_param` and `content_block` types. Blocks that no second dialect has (built-in tools and
their results, search results, uploads to a container) are kept as they stand. Begin reading at `decode_content`,
`encode_blocks`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, assert_never

from llmproxy.dialects.call_arguments import arguments_object
from llmproxy.dialects.cited_documents import place_of, put_document_options
from llmproxy.dialects.content import PartDecoders, decode_parts, opaque
from llmproxy.dialects.custom_tools import INPUT
from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.media_data import set_url
from llmproxy.dialects.members import Members, wrong
from llmproxy.dialects.messages.media import encode_media
from llmproxy.dialects.model import (
    Block,
    Citation,
    Media,
    Opaque,
    PlaceKind,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.wire.json import write_value

Content: TypeAlias = list[dict[str, Any]]

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_PLAIN = {"type", "text"}


PLACES: Mapping[str, tuple[PlaceKind, str, str]] = {
    "char_location": ("characters", "start_char_index", "end_char_index"),
    "page_location": ("pages", "start_page_number", "end_page_number"),
    "content_block_location": ("chunks", "start_block_index", "end_block_index"),
}
"""The types of citations of documents, with the names of where the cited part begins and ends."""


def decode_content(content: object, path: str) -> list[Block]:
    """Return the blocks of a content, which is a string or an array of blocks."""
    return decode_parts(content, path, DECODERS, "messages")


def _decode_text(block: Members) -> Block:
    return Text(
        path=block.path,
        text=block.needed_text("text"),
        annotations=[decode_citation(each) for each in block.objects("citations")],
        cache=block.any("cache_control"),
        extra=block.left(),
    )


def decode_citation(citation: Members) -> Citation:
    """Return one of `citations`. Its offsets are positions in a document, not in the text that cites, so they stay in
    `extra`."""
    title = citation.text("title")
    kind, start, end = PLACES.get(str(citation.rest.get("type")), (None, "", ""))
    place = place_of(kind, citation.rest, "document_index", start, end)
    return Citation(
        path=citation.path,
        url=citation.text("url"),
        title=citation.text("document_title") if title is None else title,
        quote=citation.text("cited_text"),
        file_id=citation.text("file_id"),
        extra=citation.left(),
        place=place,
    )


def _decode_image(block: Members) -> Block:
    source = Members(block.any("source"), block.at("source"))
    return _set_source(Media(path=block.path, kind="image", cache=block.any("cache_control")), block, source)


def _decode_document(block: Members) -> Block:
    source = Members(block.any("source"), block.at("source"))
    if source.rest.get("type") == "content":
        return _decode_chunks(block, source)
    media = Media(path=block.path, kind="document", name=block.text("title"), cache=block.any("cache_control"))
    return _set_source(media, block, source)


def _set_source(media: Media, block: Members, source: Members) -> Media:
    kind = source.word("type", ("base64", "url", "file", "text")) or source.missing("type")
    if kind == "base64":
        media.media_type, media.data = source.needed_text("media_type"), source.needed_text("data")
    elif kind == "file":
        media.file_id = source.needed_text("file_id")
    elif kind == "text":
        media.media_type, media.text = source.text("media_type"), source.needed_text("data")
    else:
        set_url(media, source.needed_text("url"), source.at("url"))
    media.extra = nested_extra(block, source)
    return media


def _decode_chunks(block: Members, source: Members) -> Block:
    """Return a document in the form of a content. Its chunks, which citations count, exist in this dialect alone."""
    content = source.rest.get("content")
    blocks = decode_content(content, source.at("content"))
    if not all(isinstance(each, Text) for each in blocks):
        return opaque(Members({**block.rest, "source": source.rest}, block.path), "document", "messages")
    return Media(
        path=block.path,
        kind="document",
        media_type="text/plain",
        text="\n\n".join(each.text for each in blocks if isinstance(each, Text)),
        name=block.text("title"),
        cache=block.any("cache_control"),
        extra={"source": source.rest, **block.left()},
    )


def _decode_call(block: Members) -> Block:
    arguments = block.object("input")
    return ToolCall(
        path=block.path,
        id=block.needed_text("id"),
        name=block.needed_text("name"),
        arguments=_arguments_text(block.missing("input") if arguments is None else arguments, block.at("input")),
        cache=block.any("cache_control"),
        extra=block.left(),
    )


def _arguments_text(arguments: dict[str, Any], path: str) -> str:
    try:
        return write_value(arguments).decode()
    except RecursionError:
        wrong(path, "is nested too deeply")


def _decode_result(block: Members) -> Block:
    content = block.any("content")
    blocks = [] if content is None else decode_content(content, block.at("content"))
    for each in blocks:
        if isinstance(each, ToolCall | ToolResult | Thinking):
            wrong(each.path, "is not allowed in the result of a tool")
    return ToolResult(
        path=block.path,
        id=block.needed_text("tool_use_id"),
        content=blocks,
        error=block.flag("is_error") or False,
        cache=block.any("cache_control"),
        extra=block.left(),
    )


def _decode_thinking(block: Members) -> Block:
    text, signature = block.needed_text("thinking"), block.text("signature")
    return Thinking(path=block.path, dialect="messages", text=text, signature=signature, extra=block.left())


def _decode_redacted(block: Members) -> Block:
    data = block.needed_text("data")
    return Thinking(path=block.path, dialect="messages", text="", encrypted=data, redacted=True, extra=block.left())


def _decode_reference(block: Members) -> Block:
    """Return the reference to a tool that a search found; its words name the tool."""
    reference = opaque(block, "tool_reference", "messages")
    reference.words = f"The tool {block.rest.get('tool_name')} can be called now."
    reference.extra = {name: value for name, value in block.left().items() if name != "tool_name"}
    return reference


DECODERS: PartDecoders = {
    "text": _decode_text,
    "image": _decode_image,
    "document": _decode_document,
    "tool_use": _decode_call,
    "tool_result": _decode_result,
    "thinking": _decode_thinking,
    "redacted_thinking": _decode_redacted,
    "tool_reference": _decode_reference,
}


def encode_id(call_id: str) -> str:
    """Return the id of a call or of its result; one that the vendor refuses is replaced, always by the same."""
    if _ID.fullmatch(call_id):
        return call_id
    return f"toolu_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def shortest(content: Content) -> str | Content:
    """Return a string where one text is all."""
    if len(content) == 1 and content[0].keys() == _PLAIN and content[0]["type"] == "text":
        text: str = content[0]["text"]
        return text
    return content


def encode_citation(citation: Citation) -> dict[str, Any]:
    """Return one of `citations`, of this dialect's own."""
    members = {**citation.extra, "cited_text": citation.quote or ""}
    in_document = str(members.get("type")) in PLACES  # a client may send a list
    members["document_title" if in_document else "title"] = citation.title
    for name, value in (("url", citation.url), ("file_id", citation.file_id)):
        if value is not None:
            members[name] = value
    return members


def encode_blocks(blocks: Sequence[Block], context: EncodeContext) -> Content:
    """Return the blocks for a provider, without those that are dropped."""
    return [encoded for block in blocks if (encoded := _encode_block(block, context)) is not None]


def _encode_block(block: Block, context: EncodeContext) -> dict[str, Any] | None:
    if isinstance(block, Opaque):
        if block.dialect != "messages":
            context.refuse(
                block.path, f"A block of kind {block.kind!r} exists in its own API only, not in a Messages API"
            )
        return block.value
    encoded = _encode_bare(block, context)
    if isinstance(block, Media) and encoded is not None:
        block = put_document_options(encoded, block, context)
    if isinstance(block, Text | Media | ToolCall | ToolResult) and block.cache is not None:
        if encoded is None:
            context.drop_cache(block)
        else:
            context.put_cache_control(encoded, block)
    context.put_extra({} if encoded is None else encoded, block)
    return encoded


def _encode_bare(
    block: Text | Media | ToolCall | ToolResult | Thinking | Refusal, context: EncodeContext
) -> dict[str, Any] | None:
    """Return a block without what all blocks may have."""
    match block:
        case Text():
            return _encode_text(block, context)
        case Media():
            return encode_media(block, context)
        case ToolCall():
            return encode_call(block, context)
        case ToolResult():
            return encode_result(block, context)
        case Thinking():
            return _encode_thinking(block, context)
        case Refusal():
            return {"type": "text", "text": block.text} if block.text.strip() else None
        case _:
            assert_never(block)


def _encode_text(text: Text, context: EncodeContext) -> dict[str, Any] | None:
    """Return a text. The vendor refuses empty ones, and those of nothing but white space."""
    if text.logprobs is not None:
        context.drop(f"{text.path}.logprobs")
    block: dict[str, Any] = {"type": "text", "text": text.text}
    citations = [encoded for each in text.annotations if (encoded := _own_citation(each, context)) is not None]
    if citations:
        block["citations"] = citations
    return block if context.own or text.text.strip() else None


def _own_citation(citation: Citation, context: EncodeContext) -> dict[str, Any] | None:
    """Return a citation of this dialect's own, but not one that we made for an answer: it lacks what the vendor
    checks."""
    if context.own and citation.extra.get("encrypted_index") != "":
        return encode_citation(citation)
    context.drop(citation.path or "annotations")
    return None


def encode_call(call: ToolCall, context: EncodeContext) -> dict[str, Any]:
    """Return a call without what all blocks may have."""
    arguments = {INPUT: call.arguments} if call.custom else arguments_object(call, context)
    return {"type": "tool_use", "id": _encode_id(call.id, context), "name": call.name, "input": arguments}


def encode_result(result: ToolResult, context: EncodeContext) -> dict[str, Any]:
    """Return a result without what all blocks may have."""
    if (text := _plain_text(result.content)) is not None and (context.own or text.strip()):
        plain = {"type": "tool_result", "tool_use_id": _encode_id(result.id, context), "content": text}
        return {**plain, "is_error": True} if result.error else plain
    for each in result.content:
        if isinstance(each, ToolCall | ToolResult | Thinking):
            context.refuse(each.path, "A block of this kind is not allowed in the result of a tool")
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": _encode_id(result.id, context)}
    content = encode_blocks(result.content, context)
    if content:
        block["content"] = shortest(content)
    if result.error:
        block["is_error"] = True
    return block


def _plain_text(content: Sequence[Block]) -> str | None:
    """Return the text where a content is nothing else, as that of most results."""
    if len(content) != 1 or not isinstance(text := content[0], Text):
        return None
    return None if text.cache or text.annotations or text.logprobs or text.extra else text.text


def _encode_id(call_id: str, context: EncodeContext) -> str:
    return call_id if context.own else encode_id(call_id)


def _encode_thinking(thinking: Thinking, context: EncodeContext) -> dict[str, Any] | None:
    """Return thinking that the vendor signed. It refuses any other."""
    if thinking.dialect == "messages" and thinking.redacted and thinking.encrypted:
        return {"type": "redacted_thinking", "data": thinking.encrypted}
    if thinking.dialect == "messages" and thinking.signature:
        return {"type": "thinking", "thinking": thinking.text, "signature": thinking.signature}
    context.drop(thinking.path)
    return None
