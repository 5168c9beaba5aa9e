"""Estimate the input tokens of a request, for providers that have no call that counts them.

Without the model's tokenizer this is a rule of thumb: four ASCII characters, or one other character, make a token.
Other scripts have fewer tokens than that, so that agents compact early and not too late. Begin reading at
`estimate_tokens`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmproxy.dialects.model import (
    Block,
    Media,
    Opaque,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from llmproxy.wire.json import RawMembers, write_value

_CHARACTERS = 4
_MESSAGE = 4  # its role and its marks
_TOOL = 8
# An image of usual size (docs.anthropic.com/en/docs/build-with-claude/vision: at most about 1,600).
_IMAGE = 1600
# Of other media only the size is known: a page of a PDF has some 2,000 tokens and 50 KB, a second of sound 30 and 3 KB.
_MEDIA_BYTES = 32
_MEDIA_BYTES_LEAST = 4000  # of a string: shorter ones are counted as text
_PIECE = 64
_OUTPUT_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_OUTPUT_SETTINGS = ("generationConfig", "generation_config", "inferenceConfig")
_WHOLE = re.compile(rb"\d{1,9}")
_IN_SETTINGS = re.compile(rb'"max_?(?:output_|Output)?[tT]okens"\s*:\s*(\d{1,9})')


def estimate_tokens(request: Request) -> int:
    """Return how many input tokens the request may have, at least one."""
    tokens = sum(_MESSAGE + _blocks(each.content) for each in request.system)
    tokens += sum(_MESSAGE + _blocks(each.content) for each in request.messages)
    tokens += sum(_TOOL + _tool(tool) for tool in request.tools)
    if request.format is not None and request.format.schema is not None:
        tokens += _json(request.format.schema)
    return max(tokens, 1)


def _blocks(content: Iterable[Block]) -> int:
    return sum(map(_block, content))


def _block(block: Block) -> int:
    match block:
        case Text() | Refusal():
            return _text(block.text)
        case Thinking():
            return _text(block.text) + _text(block.encrypted or "")
        case ToolCall():
            return _TOOL + _text(block.name) + _text(block.arguments)
        case ToolResult():
            return _TOOL + _blocks(block.content)
        case Media():
            return _media(block)
        case Opaque():
            return _json(block.value)


def _media(media: Media) -> int:
    if media.text is not None:
        return _text(media.text)
    if media.kind == "image" or media.data is None:
        return _IMAGE
    return len(media.data) * 3 // 4 // _MEDIA_BYTES


def _tool(tool: Tool | Opaque) -> int:
    if isinstance(tool, Opaque):
        return _json(tool.value)
    return _text(tool.name) + _text(tool.description or "") + _json(tool.schema or tool.grammar or {})


def _json(value: object) -> int:
    return _text(write_value(value).decode("utf-8", "replace"))


def _text(text: str) -> int:
    if text.isascii():
        return -(-len(text) // _CHARACTERS)
    ascii_count = len(text.encode("ascii", "ignore"))
    return len(text) - ascii_count + -(-ascii_count // _CHARACTERS)


def estimate_body_tokens(raw: bytes) -> int:
    """Return how many input tokens a request body may have, from its size alone: 0.2 µs where decoding it takes 50.

    The marks of JSON stand for those of messages; media inside it are left out and counted as images.
    """
    size, images, at = len(raw), 0, _MEDIA_BYTES_LEAST
    while at < len(raw):
        piece = raw[at : at + _PIECE]
        if b" " not in piece and b'"' not in piece and b"\\" not in piece:
            begin, end = raw.rfind(b'"', 0, at), raw.find(b'"', at)
            if end - begin > _MEDIA_BYTES_LEAST and b" " not in raw[begin : begin + 2 * _PIECE]:
                size, images, at = size - (end - begin), images + 1, end
        at += _MEDIA_BYTES_LEAST
    return -(-size // _CHARACTERS) + images * _IMAGE


def stated_output_tokens(members: RawMembers) -> int | None:
    """Return the most output tokens that a request allows, from its top-level members; None where it does not say
    so."""
    for name in _OUTPUT_FIELDS:
        if name in members:
            stated = _WHOLE.fullmatch(bytes(members[name]))
            return None if stated is None else int(stated[0])
    for name in _OUTPUT_SETTINGS:
        if name in members and (stated := _IN_SETTINGS.search(bytes(members[name]))):
            return int(stated[1])
    return None
