"""Writing the messages of a chat request: instructions, turns, tool results, parts.

Source: the SDK's `chat_completion_message_param` types. Results carry text alone, so what else a tool gave follows in a
user message. Begin reading at `write_message`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from mimetypes import guess_extension
from typing import Any, TypeGuard

from llmproxy.dialects.chat.content import SOUNDS
from llmproxy.dialects.chat.extras import put_cache, put_extra
from llmproxy.dialects.chat.request_messages import SIGNATURE, THINKING
from llmproxy.dialects.codec import Losses
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
from llmproxy.dialects.name_limits import shortened

MAX_ID = 40
"""The longest tool-call id that OpenAI's chat completions accept."""

SHOWN_BELOW = "The result is shown in the user message that follows."
"""Stands in a tool message whose result has no text."""

_BETWEEN = "\n\n"
_PLAIN = {"type", "text"}
_FORMATS = {media_type: name for name, media_type in SOUNDS.items()} | {"audio/x-wav": "wav", "audio/mp3": "mp3"}


def write_id(call_id: str, *, own: bool) -> str:
    """The id of a call or of its result, shortened where it is too long, always in the same way."""
    return call_id if own else shortened(call_id, MAX_ID, "call_")


def write_instructions(
    system: Sequence[Instruction], *, own: bool, developer: bool, losses: Losses
) -> list[dict[str, Any]]:
    """The messages that come first. Blocks of another dialect's system become one message, since many models know
    only one."""
    messages: list[dict[str, Any]] = []
    groups: list[tuple[str, list[Instruction]]] = []
    for instruction in system:
        role: str = instruction.role if own or developer else "system"
        if groups and groups[-1][0] == role and not own:
            groups[-1][1].append(instruction)
        else:
            groups.append((role, [instruction]))
    for word, instructions in groups:
        texts: list[Block] = [text for instruction in instructions for text in instruction.content]
        message: dict[str, Any] = {"role": word, "content": _content(texts, own=own, losses=losses, joined=True)}
        for instruction in instructions:
            put_extra(message, instruction, own=own, losses=losses)
        messages.append(message)
    return messages


def write_message(message: Message, *, own: bool, developer: bool, losses: Losses) -> list[dict[str, Any]]:
    """The messages that say what `message` says: none for one of which nothing is left."""
    if message.role == "assistant":
        return _assistant(message, own=own, losses=losses)
    messages: list[dict[str, Any]] = []
    rest: list[Block] = []
    for block in message.content:
        if isinstance(block, ToolResult):
            messages.append(_result(block, rest, own=own, losses=losses))
    rest += [block for block in message.content if not isinstance(block, ToolResult)]
    if rest or not messages:
        role = "system" if message.role == "developer" and not (own or developer) else message.role
        content = _content(rest, own=own, losses=losses, joined=role != "user")
        messages.append({"role": role, "content": content})
    last = messages[-1]
    if message.name is not None:
        last["name"] = message.name
    put_extra(last, message, own=own, losses=losses)
    return messages


def _result(result: ToolResult, rest: list[Block], *, own: bool, losses: Losses) -> dict[str, Any]:
    """The message of a result. What it has beside text goes to `rest`, for the user message that follows."""
    texts: list[Block] = [block for block in result.content if isinstance(block, Text)]
    others = [block for block in result.content if not isinstance(block, Text)]
    if own:
        content = _content(result.content, own=own, losses=losses)
    else:
        rest += others
        content = _content(texts, own=own, losses=losses, joined=True) if texts or not others else SHOWN_BELOW
    if result.error and not own:
        losses.drop(f"{result.path}.is_error")
    written = {"role": "tool", "tool_call_id": write_id(result.id, own=own), "content": content}
    put_cache(written, result, own=own, losses=losses)
    put_extra(written, result, own=own, losses=losses)
    return written


def _assistant(message: Message, *, own: bool, losses: Losses) -> list[dict[str, Any]]:
    written: dict[str, Any] = {"role": "assistant"}
    parts: list[Block] = []
    calls: list[dict[str, Any]] = []
    for block in message.content:
        if isinstance(block, ToolCall):
            calls.append(write_call(block, own=own, losses=losses))
        elif _is_other_call(block):
            calls.append(block.value)
        elif isinstance(block, Text) or not _put_member(written, block, losses):
            parts.append(block)
    written |= {"content": _content(parts, own=own, losses=losses, joined=True)} if parts else {}
    written |= {"tool_calls": calls} if calls else {}
    if len(written) == 1 and not own and message.content:
        return []  # it held nothing but another dialect's thinking
    written.setdefault("content", None if len(written) > 1 else "")
    if message.name is not None:
        written["name"] = message.name
    put_extra(written, message, own=own, losses=losses)
    return [written]


def _is_other_call(block: Block) -> TypeGuard[Opaque]:
    """Whether a block stood among `tool_calls` and is of a kind of which nothing else is known."""
    return isinstance(block, Opaque) and block.dialect == "chat" and ".tool_calls[" in block.path


def _put_member(written: dict[str, Any], block: Block, losses: Losses) -> bool:
    """Write a block that is a member of an assistant message of its own. False for any other block."""
    match block:
        case Thinking():
            _put_thinking(written, block, losses)
        case Refusal() if not block.extra:
            written["refusal"] = written.get("refusal", "") + block.text
        case Opaque(dialect="chat", kind="audio"):
            written["audio"] = block.value
        case Media():
            losses.refuse(block.path, f"A block of kind {block.kind} cannot stand in an assistant message of chat")
        case _:
            return False
    return True


def _put_thinking(written: dict[str, Any], block: Thinking, losses: Losses) -> None:
    """Thinking of a chat service, which wants it back in the turns of a tool loop at least (DeepSeek, Kimi). Clients of
    other dialects return its place as their seal."""
    place = block.field if block.dialect == "chat" else block.signature or block.encrypted
    if place in THINKING:
        written[place] = written.get(place, "") + block.text
    else:
        losses.drop(block.path)


def write_call(call: ToolCall, *, own: bool, losses: Losses) -> dict[str, Any]:
    """One of `tool_calls`."""
    kind, member = ("custom", "input") if call.custom else ("function", "arguments")
    written: dict[str, Any] = {
        "id": write_id(call.id, own=own),
        "type": kind,
        kind: {"name": call.name, member: call.arguments},
    }
    if call.signature is not None:
        written[SIGNATURE] = call.signature
    put_cache(written, call, own=own, losses=losses)
    put_extra(written, call, own=own, losses=losses)
    return written


def _content(blocks: Sequence[Block], *, own: bool, losses: Losses, joined: bool = False) -> str | list[dict[str, Any]]:
    """A string where one text is all, otherwise parts. With `joined` the texts of another dialect become one, as many
    services know parts in user messages alone."""
    parts = [_part(block, own=own, losses=losses) for block in blocks]
    plain = all([part.keys() == _PLAIN and part["type"] == "text" for part in parts])
    if plain and (len(parts) < 2 or (joined and not own)):
        return _BETWEEN.join([part["text"] for part in parts])
    return parts


def _part(block: Block, *, own: bool, losses: Losses) -> dict[str, Any]:
    match block:
        case Text():
            written: dict[str, Any] = {"type": "text", "text": block.text}
            _note_text(block, losses)
        case Media():
            written = _media(block, losses, own=own)
        case Refusal():
            written = {"type": "refusal", "refusal": block.text}
        case Opaque(dialect="chat"):
            return block.value
        case _:
            kind = block.kind if isinstance(block, Opaque) else type(block).__name__
            losses.refuse(block.path, f"A block of kind {kind!r} cannot be sent here in chat")
    if not isinstance(block, Refusal):
        put_cache(written, block, own=own, losses=losses)
    put_extra(written, block, own=own, losses=losses)
    return written


def _note_text(text: Text, losses: Losses) -> None:
    """List what a text that is sent back has lost: clients of chat send text alone."""
    for each in text.annotations:
        losses.drop(each.path or f"{text.path}.annotations")
    if text.logprobs is not None:
        losses.drop(f"{text.path}.logprobs")


def _media(media: Media, losses: Losses, *, own: bool) -> dict[str, Any]:
    if media.kind == "document":
        return {"type": "file", "file": _file(media, losses, own=own)}
    if media.name is not None:
        losses.drop(f"{media.path}.name")
    if media.kind == "audio":
        return {"type": "input_audio", "input_audio": _sound(media, losses)}
    name = "image_url" if media.kind == "image" else "video_url"
    if media.file_id is not None:
        losses.refuse(
            media.path, f"A block of kind {media.kind} cannot be given as a file id in chat; send a URL or base64"
        )
    link: dict[str, Any] = {"url": media.url if media.url is not None else _data_url(media)}
    if media.detail is not None:
        link["detail"] = media.detail
    return {"type": name, name: link}


def _data_url(media: Media) -> str:
    return f"data:{media.media_type or 'application/octet-stream'};base64,{media.data or ''}"


def _sound(media: Media, losses: Losses) -> dict[str, Any]:
    if media.data is None:
        losses.refuse(media.path, "A sound must be sent as base64 in chat")
    kind = (media.media_type or "audio/wav").lower()
    return {"data": media.data, "format": _FORMATS.get(kind, kind.rpartition("/")[2])}


def _file(media: Media, losses: Losses, *, own: bool) -> dict[str, Any]:
    if media.url is not None:
        losses.refuse(media.path, "A document cannot be sent as a URL in chat; send base64 or a file id")
    name = media.name
    file: dict[str, Any] = {}
    if media.file_id is not None:
        file["file_id"] = media.file_id
    if media.text is not None:
        data = base64.b64encode(media.text.encode("utf-8", "surrogatepass")).decode()
        file["file_data"] = f"data:{media.media_type or 'text/plain'};base64,{data}"
    elif media.data is not None:
        file["file_data"] = _data_url(media) if media.media_type or not own else media.data
    if name is None and "file_data" in file and not own:
        # OpenAI wants a name beside the data.
        name = f"document{guess_extension(media.media_type or 'text/plain') or ''}"
    if name is not None:
        file["filename"] = name
    return file
