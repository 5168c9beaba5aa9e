"""Reads a record as a conversation: roles and texts, tools and their results, media by name.

Requests and replies are read through the neutral vocabulary where the dialect has a codec; of others the plain text is
read. Begin reading at `request_transcript` and `answer_transcript`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from llmproxy.dialects import catalog
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.derived import neutral_reply
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.members import parse
from llmproxy.dialects.model import (
    Block,
    Instruction,
    Media,
    Message,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from llmproxy.errors import ProxyError
from llmproxy.records.record import Record, RequestPart, ResponsePart
from llmproxy.settings import format_size
from llmproxy.wire.json import read_members

_BASE64_BYTES = 3 / 4
_BASE64 = re.compile(r"(data:[^,]{0,100},)?[A-Za-z0-9+/_-]+={0,2}")
_NUMBERS, _ENCODED = 16, 400
_STATE = ("previous_response_id", "conversation")


class TranscriptPart(NamedTuple):
    """One part of a conversation. `role` is a role of the dialects, `thinking`, `tool call`, `tool result` ..."""

    role: str
    text: str


def request_bytes(part: RequestPart | ResponsePart) -> bytes:
    """Return a body as it went over the wire."""
    if part.format == "json":
        return bytes(part.body)
    if part.format is None:
        return b""
    text = msgspec.json.decode(part.body, type=str)
    return base64.b64decode(text) if part.format == "base64" else text.encode("utf-8", "surrogatepass")


def response_bytes(part: ResponsePart) -> bytes:
    """Return the bytes sent to the client: the body, or all chunks of a stream."""
    if part.chunks is None:
        return request_bytes(part)
    return b"".join(
        chunk.text.encode() if isinstance(chunk.text, str) else base64.b64decode(chunk.base64 or b"")
        for chunk in part.chunks
    )


def request_transcript(record: Record) -> list[TranscriptPart]:
    """Return the request as a conversation; nothing when it cannot be read as one."""
    body, codec, dialect = request_bytes(record.request), _codec(record), catalog.by_name(record.dialect)
    if codec is not None:
        return list(_request_parts(codec, body))
    text = dialect.readers.request_text(body) if dialect is not None else None
    return [TranscriptPart("user", text)] if text else []


def refers_to_stored_state(record: Record) -> bool:
    """Return whether the request names stored messages instead of repeating them."""
    members = read_members(request_bytes(record.request))
    return any(bytes(members.get(name, b"null")) != b"null" for name in _STATE)


def answer_transcript(record: Record) -> list[TranscriptPart]:
    """Return the answer, as far as it arrived; nothing when it cannot be read as one."""
    body, codec, dialect = response_bytes(record.response), _codec(record), catalog.by_name(record.dialect)
    stream = record.response.chunks is not None
    if (record.status or 0) >= 400 or not body:
        return []
    if codec is not None:
        return list(_answer_parts(codec, body, stream=stream))
    text = _plain_reply(dialect, body, stream=stream) if dialect is not None else None
    return [TranscriptPart("assistant", text)] if text else []


def pretty_json(value: object) -> str:
    """Return indented JSON, in which long lists of numbers and base64 are replaced by a description."""
    return json.dumps(_shortened(value), ensure_ascii=False, indent=2)


def _shortened(value: object) -> object:
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        if len(value) > _NUMBERS and all(isinstance(each, int | float) for each in value):
            return f"[{len(value)} numbers]"
        return [_shortened(each) for each in value]
    if isinstance(value, str) and len(value) > _ENCODED and _BASE64.fullmatch(value):
        return f"[{format_size(int(len(value) * _BASE64_BYTES))} in base64]"
    return value


def _codec(record: Record) -> Codec | None:
    dialect = catalog.by_name(record.dialect)
    return None if dialect is None else dialect.codec


def _plain_reply(dialect: Dialect, body: bytes, *, stream: bool) -> str | None:
    if not stream:
        return dialect.readers.summarize(body, text=True).text
    watch = dialect.readers.watch(text=True)
    watch.feed(body)
    return watch.close().text


def _request_parts(codec: Codec, body: bytes) -> Iterator[TranscriptPart]:
    try:
        request = codec.decode_request({"model": "unknown", **parse(body)})  # in the path of some
    except ProxyError:
        return
    for instruction in request.system:
        yield _instruction(instruction)
    for message in request.messages:
        yield from _message(message, codec)


def _instruction(instruction: Instruction) -> TranscriptPart:
    return TranscriptPart(instruction.role, "\n".join(block.text for block in instruction.content))


def _message(message: Message, codec: Codec) -> Iterator[TranscriptPart]:
    role = f"{message.role} ({message.name})" if message.name else message.role
    for block in message.content:
        yield _part(role, block, codec)


def _answer_parts(codec: Codec, body: bytes, *, stream: bool) -> Iterator[TranscriptPart]:
    reply = neutral_reply(codec, body, stream=stream)
    for block in reply.content if reply is not None else ():
        yield _part("assistant", block, codec)


def _part(role: str, block: Block, codec: Codec) -> TranscriptPart:
    match block:
        case Text():
            return TranscriptPart(role, block.text)
        case Refusal():
            return TranscriptPart(f"{role}, refusing", block.text)
        case Thinking():
            return TranscriptPart("thinking", block.text or "(sealed)")
        case ToolCall():
            return TranscriptPart("tool call", f"{block.name}{_id(block, codec)}\n{_pretty(block.arguments)}")
        case ToolResult():
            inner = "\n".join(_part("", each, codec).text for each in block.content)
            head = _id(block, codec).strip()
            return TranscriptPart("tool error" if block.error else "tool result", f"{head}\n{inner}".lstrip("\n"))
        case Media():
            return TranscriptPart(role, _media(block))
        case Opaque():
            return TranscriptPart(f"{role}, {block.kind}", pretty_json(block.value))


def _id(block: ToolCall | ToolResult, codec: Codec) -> str:
    """Return the id of a call or its result; nothing where the dialect has none, since it is another one each time."""
    return "" if codec.made_up_id(block.id) else f" [{block.id}]"


def _media(media: Media) -> str:
    if media.data is not None:
        where = format_size(int(len(media.data) * _BASE64_BYTES))
    else:
        where = media.url or (f"file {media.file_id}" if media.file_id else media.text or "")
    named = " ".join(each for each in (media.kind, media.name, media.media_type) if each)
    return f"[{named}, {where}]"


def _pretty(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return arguments
