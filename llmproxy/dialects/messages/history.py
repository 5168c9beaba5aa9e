"""What was said in a messages request, in pieces that are the same in every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.history import ASSISTANT, TOOL, USER, History, Piece, call_of, pieces_of, type_of

_TEXTS = frozenset({"text"})
_SILENT = frozenset({"thinking", "redacted_thinking"})
_TOOLS = frozenset({"tool_use", "tool_result"})
_INSTRUCTIONS = frozenset({"system", "developer"})


def read_history(body: Mapping[str, Any]) -> History:
    """The pieces of `messages`, without system messages."""
    pieces: list[Piece] = []
    count = last = 0
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role in _INSTRUCTIONS:
            continue
        count += 1
        last = len(pieces)
        speaker = ASSISTANT if role == "assistant" else USER
        content = message.get("content")
        if isinstance(content, list) and any(isinstance(each, dict) and type_of(each) in _TOOLS for each in content):
            for block in content:
                _add_block(speaker, block, pieces)
        else:
            pieces_of(speaker, content, _TEXTS, _SILENT, pieces)
    return History(pieces, count, last)


def _add_block(speaker: str, block: object, pieces: list[Piece]) -> None:
    kind = type_of(block) if isinstance(block, dict) else ""
    if isinstance(block, dict) and kind == "tool_use":
        pieces.append(call_of(block.get("name"), block.get("input")))
    elif isinstance(block, dict) and kind == "tool_result":
        pieces_of(TOOL, block.get("content"), _TEXTS, _SILENT, pieces)
    else:
        pieces_of(speaker, [block], _TEXTS, _SILENT, pieces)
