"""Writing the messages of a request: the system prompt, turns, blocks, tool calls and their results.

Source: the SDK's `message_param` and `content_block_param` types. Begin reading at `Turns`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, assert_never

from llmproxy.dialects.codec import Losses
from llmproxy.dialects.custom_tools import INPUT
from llmproxy.dialects.members import wrong
from llmproxy.dialects.messages.extras import put_extra
from llmproxy.dialects.messages.media import write_media
from llmproxy.dialects.model import (
    Block,
    Citation,
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
from llmproxy.wire.json import read_value

RAW = "_raw"
"""Holds arguments in a reply that are no JSON object."""

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_PLAIN = {"type", "text"}

Content = list[dict[str, Any]]


def write_id(call_id: str) -> str:
    """The id of a call or of its result; one that the vendor refuses is replaced, always by the same."""
    if _ID.fullmatch(call_id):
        return call_id
    return f"toolu_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def shortest(content: Content) -> str | Content:
    """A string where one text is all."""
    if len(content) == 1 and content[0].keys() == _PLAIN and content[0]["type"] == "text":
        text: str = content[0]["text"]
        return text
    return content


def read_object(arguments: str) -> dict[str, Any] | None:
    """The JSON object that a call's arguments are, when they are one. No arguments are an empty object."""
    value = read_value(arguments.encode("utf-8", "surrogatepass")) if arguments.strip() else {}
    return value if isinstance(value, dict) else None


def write_citation(citation: Citation) -> dict[str, Any]:
    """One of `citations`, of this dialect's own."""
    written = {**citation.extra, "cited_text": citation.quote or ""}
    in_document = written.get("type") in ("char_location", "page_location", "content_block_location")
    written["document_title" if in_document else "title"] = citation.title
    for name, value in (("url", citation.url), ("file_id", citation.file_id)):
        if value is not None:
            written[name] = value
    return written


class Turns:
    """Writes for one request. `own` says that it is of this dialect, whose blocks are then put back as they stood."""

    def __init__(self, *, own: bool, losses: Losses) -> None:
        self._own = own
        self._losses = losses

    def system(self, instructions: Sequence[Instruction]) -> str | Content | None:
        """The member `system`."""
        content: Content = []
        for instruction in instructions:
            content += self._blocks(instruction.content)
            put_extra({}, instruction, own=self._own, losses=self._losses)
        return shortest(content) if content else None

    def messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The member `messages`. Messages of which nothing is left are left out, as the vendor refuses them; what the
        user says after the results of tools joins them, since all belongs to one turn."""
        written: list[dict[str, Any]] = []
        joinable = False
        for message in messages:
            if message.name is not None:
                self._losses.drop(f"{message.path}.name")
            content = self._content(message)
            if joinable and message.role == "user" and not self._own:
                written[-1]["content"] += content
                put_extra(written[-1], message, own=False, losses=self._losses)
            elif content or self._own:
                role = "system" if message.role == "developer" else message.role
                written.append({"role": role, "content": content})
                put_extra(written[-1], message, own=self._own, losses=self._losses)
            else:
                put_extra({}, message, own=False, losses=self._losses)
                continue
            joinable = message.role == "user" and all([isinstance(block, ToolResult) for block in message.content])
        for each in written:
            each["content"] = shortest(each["content"])
        return written

    def _content(self, message: Message) -> Content:
        if len(message.content) == 1:
            # Most messages are one plain text: 0.5 µs instead of 3.
            [block] = message.content
            if type(block) is Text and not (block.cache or block.annotations or block.logprobs or block.extra):
                return [{"type": "text", "text": block.text}] if self._own or block.text.strip() else []
        if message.role == "user" and not self._own:
            results = [block for block in message.content if isinstance(block, ToolResult)]
            return self._blocks([*results, *(block for block in message.content if not isinstance(block, ToolResult))])
        if message.role in ("system", "developer"):
            for block in message.content:
                if not isinstance(block, Text | Opaque):
                    self._losses.refuse(block.path, "Only text can stand in a system message of a Messages API")
        return self._blocks(message.content)

    def _blocks(self, blocks: Sequence[Block]) -> Content:
        return [written for block in blocks if (written := self._block(block)) is not None]

    def _block(self, block: Block) -> dict[str, Any] | None:
        """One block; None for one that is left out."""
        if isinstance(block, Opaque):
            return self._foreign(block)
        written = self._bare(block)
        if isinstance(block, Text | Media | ToolCall | ToolResult) and block.cache is not None:
            if written is None:
                self._losses.drop(f"{block.path}.cache_control")
            else:
                written["cache_control"] = block.cache
        put_extra({} if written is None else written, block, own=self._own, losses=self._losses)
        return written

    def _bare(self, block: Text | Media | ToolCall | ToolResult | Thinking | Refusal) -> dict[str, Any] | None:
        """A block without what all blocks may have."""
        match block:
            case Text():
                return self._text(block)
            case Media():
                return write_media(block, own=self._own, losses=self._losses)
            case ToolCall():
                return self._call(block)
            case ToolResult():
                return self._result(block)
            case Thinking():
                return self._thinking(block)
            case Refusal():
                return {"type": "text", "text": block.text} if block.text.strip() else None
            case _:
                assert_never(block)

    def _text(self, text: Text) -> dict[str, Any] | None:
        """A text. Empty ones, and those of nothing but white space, are refused by the vendor."""
        if text.logprobs is not None:
            self._losses.drop(f"{text.path}.logprobs")
        written: dict[str, Any] = {"type": "text", "text": text.text}
        if text.annotations:
            written["citations"] = [cited for each in text.annotations if (cited := self._citation(each)) is not None]
            if not written["citations"]:
                del written["citations"]
        return written if self._own or text.text.strip() else None

    def _citation(self, citation: Citation) -> dict[str, Any] | None:
        """A citation of this dialect's own, but for one that we made for a reply: it lacks what the vendor checks."""
        if self._own and citation.extra.get("encrypted_index") != "":
            return write_citation(citation)
        self._losses.drop(citation.path or "annotations")
        return None

    def _call(self, call: ToolCall) -> dict[str, Any]:
        given = {INPUT: call.arguments} if call.custom else read_object(call.arguments)
        if given is None:
            wrong(call.path, "has arguments that are not a JSON object, which a Messages API needs")
        return {"type": "tool_use", "id": self._id(call.id), "name": call.name, "input": given}

    def _result(self, result: ToolResult) -> dict[str, Any]:
        for block in result.content:
            if isinstance(block, ToolCall | ToolResult | Thinking):
                self._losses.refuse(block.path, "A block of this kind cannot stand in the result of a tool")
        written: dict[str, Any] = {"type": "tool_result", "tool_use_id": self._id(result.id)}
        content = self._blocks(result.content)
        if content:
            written["content"] = shortest(content)
        if result.error:
            written["is_error"] = True
        return written

    def _id(self, call_id: str) -> str:
        return call_id if self._own else write_id(call_id)

    def _thinking(self, thinking: Thinking) -> dict[str, Any] | None:
        """Thinking that the vendor sealed. Any other it refuses."""
        if thinking.dialect == "messages" and thinking.redacted and thinking.encrypted:
            return {"type": "redacted_thinking", "data": thinking.encrypted}
        if thinking.dialect == "messages" and thinking.signature:
            return {"type": "thinking", "thinking": thinking.text, "signature": thinking.signature}
        self._losses.drop(thinking.path)
        return None

    def _foreign(self, block: Opaque) -> dict[str, Any]:
        if block.dialect != "messages":
            self._losses.refuse(
                block.path, f"A block of kind {block.kind!r} is known to its own API alone, not to a Messages API"
            )
        return block.value
