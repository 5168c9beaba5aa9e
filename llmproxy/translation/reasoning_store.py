"""Sealed thinking that a client's dialect cannot carry back, kept until the tool results come.

Vendors refuse, or do worse in, tool turns whose thinking is missing or changed. A translated reply's own thinking is
kept under the ids of the tool calls that follow it, by tenant, and put back when the client sends these calls again.
Bounded in bytes, the longest unused goes first. Begin reading at `Thoughts`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from llmproxy.dialects.model import Block, Message, Request, Thinking, ToolCall, ToolResult
from llmproxy.wire.json import write_value

MAX_BYTES = 64 * 1024 * 1024
# What an entry costs beside its texts.
_ENTRY_BYTES = 500

_Key = tuple[str, str, str]


class _Entry(NamedTuple):
    """What belongs to one call: the thinking in front of it, and its own seal."""

    thoughts: list[Thinking]
    signature: dict[str, Any] | None
    size_bytes: int


class Thoughts:
    """What was thought before which tool call, and what the calls were sealed with."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._kept: OrderedDict[_Key, _Entry] = OrderedDict()

    def keep(self, tenant: str, dialect: str, content: Iterable[Block]) -> None:
        """Remember the thinking of `dialect` in one reply under each call that follows it, and what seals that."""
        before: list[Thinking] = []
        for block in content:
            if isinstance(block, Thinking) and block.dialect == dialect and (block.signature or block.encrypted):
                before.append(block)
            elif isinstance(block, ToolCall) and (before or block.signature is not None):
                self._put((tenant, dialect, block.id), list(before), block.signature)

    def find(self, tenant: str, dialect: str, call_id: str) -> Sequence[Thinking]:
        """What `dialect` thought before that call; nothing when it is not known (any more)."""
        entry = self._find((tenant, dialect, call_id))
        return () if entry is None else entry.thoughts

    def restore(self, request: Request, tenant: str, dialect: str) -> None:
        """Put what is known back into the assistant's turns of `request`, in place of what the client made of it."""
        for index, message in enumerate(request.messages):
            if message.role == "assistant":
                request.messages[index] = self._restored(message, tenant, dialect)

    def _find(self, key: _Key) -> _Entry | None:
        entry = self._kept.get(key)
        if entry is not None:
            self._kept.move_to_end(key)
        return entry

    def _restored(self, message: Message, tenant: str, dialect: str) -> Message:
        content: list[Block] = []
        seen: set[int] = set()
        known = False
        for block in message.content:
            entry = self._find((tenant, dialect, block.id)) if isinstance(block, ToolCall) else None
            if entry is not None and isinstance(block, ToolCall):
                known = True
                new = [thought for thought in entry.thoughts if id(thought) not in seen]
                seen.update(map(id, new))
                content += new
                block = msgspec.structs.replace(block, signature=entry.signature)
            content.append(block)
        if not known:
            return message
        if seen:
            content = [block for block in content if not isinstance(block, Thinking) or id(block) in seen]
        return msgspec.structs.replace(message, content=content)

    def _put(self, key: _Key, thoughts: list[Thinking], signature: dict[str, Any] | None) -> None:
        size = _ENTRY_BYTES + sum(
            len(each.text) + len(each.signature or "") + len(each.encrypted or "") for each in thoughts
        )
        size += 0 if signature is None else len(write_value(signature))
        if size > self._max_bytes:
            return
        old = self._kept.pop(key, None)
        self._kept[key] = _Entry(thoughts, signature, size)
        self.size_bytes += size - (old.size_bytes if old else 0)
        while self.size_bytes > self._max_bytes:
            self.size_bytes -= self._kept.popitem(last=False)[1].size_bytes


def lacks_thoughts(request: Request, dialect: str) -> bool:
    """Whether the tool turn that is going on (since the last words of the user) has calls without thinking of `dialect`
    in front of them."""
    for message in reversed(request.messages):
        if message.role == "user" and any(not isinstance(block, ToolResult) for block in message.content):
            return False
        if message.role == "assistant" and _called_without(message, dialect):
            return True
    return False


def _called_without(message: Message, dialect: str) -> bool:
    for block in message.content:
        if isinstance(block, Thinking) and block.dialect == dialect:
            return False
        if isinstance(block, ToolCall):
            return True
    return False
