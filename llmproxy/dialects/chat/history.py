"""What was said in a chat request, in pieces that are the same in every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.history import ASSISTANT, TOOL, USER, History, Piece, add, call_of, pieces_of

_TEXTS = frozenset({"text"})
_SILENT = frozenset({"thinking", "reasoning"})
_INSTRUCTIONS = frozenset({"system", "developer"})
_SPEAKERS = {"assistant": ASSISTANT, "tool": TOOL, "function": TOOL}


def read_history(body: Mapping[str, Any]) -> History:
    """The pieces of `messages`, without system and developer messages."""
    pieces: list[Piece] = []
    count = 0
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role in _INSTRUCTIONS:
            continue
        count += 1
        pieces_of(_SPEAKERS.get(role, USER), message.get("content"), _TEXTS, _SILENT, pieces)
        if role == "assistant":
            _add_made(message, pieces)
    return History(pieces, count)


def _add_made(message: Mapping[str, Any], pieces: list[Piece]) -> None:
    add(ASSISTANT, message.get("refusal"), pieces)
    calls = message.get("tool_calls")
    functions = [call.get("function") or call.get("custom") for call in calls or () if isinstance(call, dict)]
    functions.append(message.get("function_call"))
    for function in functions:
        if isinstance(function, dict):
            pieces.append(call_of(function.get("name"), function.get("arguments", function.get("input"))))
