"""What was said in a chat request, in pieces that are the same in every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.history import ASSISTANT, TOOL, USER, History, Piece, add, call_of, pieces_of

_TEXTS = frozenset({"text"})
_SILENT = frozenset({"thinking", "reasoning"})
_INSTRUCTIONS = frozenset({"system", "developer"})
_PLAIN = frozenset({"role", "content"})
_SPEAKERS = {"assistant": ASSISTANT, "tool": TOOL, "function": TOOL}


def read_history(body: Mapping[str, Any]) -> History:
    """The pieces of `messages`, without system and developer messages."""
    pieces: list[Piece] = []
    count = last = 0
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role in _INSTRUCTIONS:
            continue
        count += 1
        last = len(pieces)
        pieces_of(_SPEAKERS.get(role, USER), message.get("content"), _TEXTS, _SILENT, pieces)
        if role == "assistant" and message.keys() != _PLAIN:
            _add_made(message, pieces)
    return History(pieces, count, last)


def _add_made(message: Mapping[str, Any], pieces: list[Piece]) -> None:
    add(ASSISTANT, message.get("refusal"), pieces)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            _add_call(call.get("function") or call.get("custom"), pieces)
    _add_call(message.get("function_call"), pieces)


def _add_call(function: object, pieces: list[Piece]) -> None:
    if isinstance(function, dict):
        pieces.append(call_of(function.get("name"), function.get("arguments", function.get("input"))))
