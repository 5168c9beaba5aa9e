"""Keeps signed thinking that a client's dialect cannot carry back, until the tool results come.

Vendors refuse, or do worse in, tool turns whose thinking is missing or changed. A translated reply's own thinking is
kept under the ids of the tool calls that follow it, by identity, and put back when the client sends these calls again.
Begin reading at `ReasoningStore`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.model import Block, Message, Request, Thinking, ToolCall, ToolResult
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.responses import ResponseStore
from llmproxy.wire.json import read_as, write_value

TTL_S = 7 * 86400.0
_LONGEST_KEY = 200


class KeptReasoning(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to one tool call: the thinking in front of it and its own signature. `reply` tells the thinking of
    one reply from that of others. The first `leading` of `thinking` began the reply: text may stand behind them.
    `owner` names all that accept it back (`catalog.seal_owner`)."""

    reply: str
    thinking: list[Thinking]
    signature: dict[str, Any] | None
    leading: int = 0
    owner: str = ""


_DECODER = msgspec.json.Decoder(KeptReasoning)


class ReasoningStore:
    """Thinking by tool call, in `store`. While the store does not answer nothing is kept and nothing is known."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def keep(self, identity: str, dialect: str, content: Iterable[Block], owner: str = "") -> list[str]:
        """Keep the thinking of `dialect` in one reply under each call that follows it, and the signatures of calls.
        Return the ids of these calls."""
        reply, leading = "", None
        before: list[Thinking] = []  # calling `list[...]` takes 2,800 instructions
        ids: list[str] = []
        for block in content:
            if leading is None and not isinstance(block, Thinking):
                leading = len(before)
            if isinstance(block, Thinking) and block.dialect == dialect and (block.signature or block.encrypted):
                before.append(block)
            elif isinstance(block, ToolCall) and (before or block.signature is not None):
                reply = reply or secrets.token_hex(8)
                kept = KeptReasoning(
                    reply=reply, thinking=before, signature=block.signature, leading=leading or 0, owner=owner
                )
                try:
                    await self._store.set(
                        _key(identity, dialect, block.id), write_value(msgspec.to_builtins(kept)), TTL_S
                    )
                except StoreFault:
                    return ids
                ids.append(block.id)
        return ids

    async def fetch(self, identity: str, dialect: str, request: Request) -> Mapping[str, KeptReasoning] | None:
        """Return what is known of the tool calls in `request`, by their ids; None when the store does not answer."""
        calls = {
            block.id: _key(identity, dialect, block.id)
            for message in request.messages
            if message.role == "assistant"
            for block in message.content
            if isinstance(block, ToolCall)
        }
        if not calls:
            return {}
        try:
            values = await self._store.get_many(list(calls.values()))
        except StoreFault:
            return None
        found = {name: read_as(_DECODER, value) for name, value in zip(calls, values, strict=True) if value is not None}
        return {name: kept for name, kept in found.items() if kept is not None}


def drop_foreign(
    request: Request, kept: Mapping[str, KeptReasoning], owner: str, losses: Losses
) -> Mapping[str, KeptReasoning]:
    """Return what of `kept` goes back to a target of this owner. What others sealed is listed as dropped."""
    foreign = {name for name, each in kept.items() if each.owner != owner and each.owner}
    if not foreign:
        return kept
    for message in request.messages:
        for block in message.content:
            if isinstance(block, ToolCall) and block.id in foreign:
                losses.drop(f"{block.path}.thinking")
    return {name: each for name, each in kept.items() if name not in foreign}


def _key(identity: str, dialect: str, call_id: str) -> str:
    """Return the key in the store. Ids of calls are short words in practice: 0.4 µs instead of 3 for a digest."""
    key = f"reasoning:{identity}:{dialect}:{call_id}"
    if len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable() and " " not in key:
        return key
    return "reasoning-digest:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def restore(request: Request, kept: Mapping[str, KeptReasoning]) -> None:
    """Put what was kept back into the assistant's messages of `request`, in place of what the client made of it."""
    if not kept:
        return
    for index, message in enumerate(request.messages):
        if message.role == "assistant":
            request.messages[index] = _restored(message, kept)


def _restored(message: Message, kept: Mapping[str, KeptReasoning]) -> Message:
    content: list[Block] = []
    seen: set[tuple[str, int]] = set()
    restored: list[Thinking] = []
    known = False
    begin = 0  # where the reply of the next call begins: behind the calls of the one before
    for block in message.content:
        if isinstance(block, ToolCall) and (entry := kept.get(block.id)) is not None:
            known = True
            for number, thinking in enumerate(entry.thinking):
                if (entry.reply, number) not in seen:
                    seen.add((entry.reply, number))
                    restored.append(thinking)
                    content.insert(begin + number if number < entry.leading else len(content), thinking)
            block = msgspec.structs.replace(block, signature=entry.signature)
        content.append(block)
        if isinstance(block, ToolCall):
            begin = len(content)
    if not known:
        return message
    if restored:
        own = set(map(id, restored))
        content = [block for block in content if not isinstance(block, Thinking) or id(block) in own]
    return msgspec.structs.replace(message, content=content)


def lacks_reasoning(request: Request, dialect: str) -> bool | None:
    """Return whether the tool turn under way (since the last words of the user) has calls without thinking of `dialect`
    in front of them; None where it began before these messages, and they have not."""
    for message in reversed(request.messages):
        if message.role == "user" and any(not isinstance(block, ToolResult) for block in message.content):
            return False
        if message.role == "assistant" and _called_without(message, dialect):
            return True
    return None


def _called_without(message: Message, dialect: str) -> bool:
    for block in message.content:
        if isinstance(block, Thinking) and block.dialect == dialect:
            return False
        if isinstance(block, ToolCall):
            return True
    return False
