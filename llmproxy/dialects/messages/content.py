"""Reading the blocks of a message's content, in requests and in replies: text, media, tool calls and results, thinking.

Source: the SDK's `content_block_param` and `content_block` types. Blocks that no second dialect has (built-in tools and
their results, search results, uploads to a container) are kept as they stand. Begin reading at `read_content`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.messages.extras import nested_extra
from llmproxy.dialects.model import Block, Citation, Media, Opaque, Text, Thinking, ToolCall, ToolResult
from llmproxy.wire.json import write_value

_DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,", re.IGNORECASE)


def read_content(content: object, path: str) -> list[Block]:
    """The blocks of a content, which is a string or an array of blocks."""
    if isinstance(content, str):
        return [Text(path=path, text=content)]
    if not isinstance(content, list):
        wrong(path, "is missing" if content is None else f"must be a string or an array, not {name_of(content)}")
    return [read_block(Members(block, f"{path}[{index}]")) for index, block in enumerate(content)]


def read_texts(content: object, path: str) -> list[Text]:
    """The same where only text may stand, as in the system prompt."""
    texts = []
    for block in read_content(content, path):
        if not isinstance(block, Text):
            wrong(block.path, "must be a text block")
        texts.append(block)
    return texts


def read_block(block: Members) -> Block:
    """One block."""
    kind = block.needed_text("type")
    reader = _READERS.get(kind)
    if reader is None:
        return foreign(block, kind)
    return reader(block)


def foreign(block: Members, kind: str) -> Opaque:
    """A block that only this dialect has; `type` was taken out of it already."""
    return Opaque(path=block.path, dialect="messages", kind=kind, value={"type": kind, **block.rest})


def _read_text(block: Members) -> Block:
    return Text(
        path=block.path,
        text=block.needed_text("text"),
        annotations=[read_citation(each) for each in block.objects("citations")],
        cache=block.any("cache_control"),
        extra=block.left(),
    )


def read_citation(citation: Members) -> Citation:
    """One of `citations`. Its offsets are places in a document, not in the text that cites, so they stay in `extra`."""
    title = citation.text("title")
    return Citation(
        path=citation.path,
        url=citation.text("url"),
        title=citation.text("document_title") if title is None else title,
        quote=citation.text("cited_text"),
        file_id=citation.text("file_id"),
        extra=citation.left(),
    )


def _read_image(block: Members) -> Block:
    source = Members(block.any("source"), block.at("source"))
    media = Media(path=block.path, kind="image", cache=block.any("cache_control"))
    _read_source(media, source)
    media.extra = nested_extra(block, source)
    return media


def _read_document(block: Members) -> Block:
    source = Members(block.any("source"), block.at("source"))
    if source.rest.get("type") == "content":
        return _read_chunks(block, source)
    media = Media(path=block.path, kind="document", name=block.text("title"), cache=block.any("cache_control"))
    _read_source(media, source)
    media.extra = nested_extra(block, source)
    return media


def _read_source(media: Media, source: Members) -> None:
    kind = source.word("type", ("base64", "url", "file", "text")) or source.missing("type")
    if kind == "base64":
        media.media_type, media.data = source.needed_text("media_type"), source.needed_text("data")
    elif kind == "file":
        media.file_id = source.needed_text("file_id")
    elif kind == "text":
        media.media_type, media.text = source.text("media_type"), source.needed_text("data")
    else:
        _read_url(media, source)


def _read_url(media: Media, source: Members) -> None:
    url = source.needed_text("url")
    if url[:5].lower() != "data:":
        media.url = url
        return
    head = _DATA_URL.match(url)
    if head is None:
        wrong(source.at("url"), "must be an http(s) URL, or a data URL in base64")
    media.media_type, media.data = head[1].lower() or None, url[head.end() :]


def _read_chunks(block: Members, source: Members) -> Block:
    """A document in the form of a content. Its borders, which citations count, are known to this dialect alone."""
    content = source.rest.get("content")
    blocks = read_content(content, source.at("content"))
    if not all(isinstance(each, Text) for each in blocks):
        return foreign(Members({**block.rest, "source": source.rest}, block.path), "document")
    return Media(
        path=block.path,
        kind="document",
        media_type="text/plain",
        text="\n\n".join(each.text for each in blocks if isinstance(each, Text)),
        name=block.text("title"),
        cache=block.any("cache_control"),
        extra={"source": source.rest, **block.left()},
    )


def _read_call(block: Members) -> Block:
    arguments = block.object("input")
    return ToolCall(
        path=block.path,
        id=block.needed_text("id"),
        name=block.needed_text("name"),
        arguments=_write_arguments(block.missing("input") if arguments is None else arguments, block.at("input")),
        cache=block.any("cache_control"),
        extra=block.left(),
    )


def _write_arguments(arguments: dict[str, Any], path: str) -> str:
    """The JSON text of a call's arguments."""
    try:
        return write_value(arguments).decode()
    except RecursionError:
        wrong(path, "is nested too deeply")


def _read_result(block: Members) -> Block:
    content = block.any("content")
    blocks = [] if content is None else read_content(content, block.at("content"))
    for each in blocks:
        if isinstance(each, ToolCall | ToolResult | Thinking):
            wrong(each.path, "cannot stand in the result of a tool")
    return ToolResult(
        path=block.path,
        id=block.needed_text("tool_use_id"),
        content=blocks,
        error=block.flag("is_error") or False,
        cache=block.any("cache_control"),
        extra=block.left(),
    )


def _read_thinking(block: Members) -> Block:
    return Thinking(
        path=block.path,
        dialect="messages",
        text=block.needed_text("thinking"),
        signature=block.text("signature"),
        extra=block.left(),
    )


def _read_redacted(block: Members) -> Block:
    return Thinking(
        path=block.path,
        dialect="messages",
        text="",
        encrypted=block.needed_text("data"),
        redacted=True,
        extra=block.left(),
    )


_READERS: dict[str, Callable[[Members], Block]] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "tool_use": _read_call,
    "tool_result": _read_result,
    "thinking": _read_thinking,
    "redacted_thinking": _read_redacted,
}
