"""Short names for names that are too long for a target: the same name always gets the same short one.

Names of users and calls become a digest. Tools keep the beginning of their names, which models read, and have their own
again in the answer. Begin reading at `ToolNames`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from llmproxy.dialects.model import Block, Event, Message, Open, Request, Tool, ToolCall

MAX_USER = 64
"""The longest `user` that OpenAI accepts; coding agents send twice that to others."""
_DIGEST = 8


def shortened(name: str, longest: int, start: str = "") -> str:
    """Return `name`, or `start` and a digest of it where it is empty or has more than `longest` characters."""
    if 0 < len(name) <= longest:
        return name
    return start + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[: longest - len(start)]


class ToolNames:
    """Names for one request's tools that a provider accepts which refuses more than `longest` characters."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._originals: dict[str, str] = {}

    def shorten(self, request: Request) -> None:
        """Replace the tools of `request`, the choice among them, and the calls in its messages."""
        if all(len(tool.name) <= self._longest for tool in request.tools if isinstance(tool, Tool)):
            return
        request.tools = [
            msgspec.structs.replace(tool, name=self._shorten_name(tool.name)) if isinstance(tool, Tool) else tool
            for tool in request.tools
        ]
        choice = request.tool_choice
        if choice is not None:
            name = None if choice.name is None else self._shorten_name(choice.name)
            allowed = None if choice.allowed is None else [self._shorten_name(each) for each in choice.allowed]
            request.tool_choice = msgspec.structs.replace(choice, name=name, allowed=allowed)
        request.messages = [self._shorten_message(message) for message in request.messages]

    def needed(self) -> bool:
        """Say whether any name was replaced."""
        return bool(self._originals)

    def restore(self, content: Sequence[Block]) -> list[Block]:
        """Return the blocks of a reply with the client's names."""
        return [self._restore_block(block) for block in content]

    def restore_event(self, event: Event) -> Event:
        """Return an event of a stream with the client's names."""
        return Open(index=event.index, block=self._restore_block(event.block)) if isinstance(event, Open) else event

    def _shorten_name(self, name: str) -> str:
        if len(name) <= self._longest:
            return name
        short = shortened(name, self._longest, name[: self._longest - _DIGEST - 1] + "_")
        self._originals[short] = name
        return short

    def _shorten_message(self, message: Message) -> Message:
        if message.role != "assistant":
            return message
        content: list[Block] = [
            msgspec.structs.replace(block, name=self._shorten_name(block.name))
            if isinstance(block, ToolCall)
            else block
            for block in message.content
        ]
        return msgspec.structs.replace(message, content=content)

    def _restore_block(self, block: Block) -> Block:
        if isinstance(block, ToolCall) and block.name in self._originals:
            return msgspec.structs.replace(block, name=self._originals[block.name])
        return block
