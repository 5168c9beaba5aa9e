"""What was said in a responses request, in pieces that are the same in every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.history import ASSISTANT, TOOL, USER, History, Piece, add, call_of, pieces_of, substance, type_of

_TEXTS = frozenset({"input_text", "output_text", "text"})
_SILENT = frozenset({"reasoning_text", "summary_text"})
_INSTRUCTIONS = frozenset({"system", "developer"})
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


def read_history(body: Mapping[str, Any]) -> History:
    """The pieces of `input`, without instructions and reasoning."""
    pieces: list[Piece] = []
    given = body.get("input")
    if isinstance(given, str):
        add(USER, given, pieces)
        return History(pieces, 1)
    count = last = 0
    for item in given if isinstance(given, list) else ():
        if isinstance(item, dict) and _says(item):
            count += 1
            last = len(pieces)
            _add_item(item, pieces)
    return History(pieces, count, last)


def _says(item: Mapping[str, Any]) -> bool:
    role = item.get("role")
    return type_of(item) != "reasoning" and not (isinstance(role, str) and role in _INSTRUCTIONS)


def _add_item(item: Mapping[str, Any], pieces: list[Piece]) -> None:
    kind, role = type_of(item), item.get("role")
    if role is not None:
        speaker = ASSISTANT if role == "assistant" else USER
        pieces_of(speaker, item.get("content"), _TEXTS, _SILENT, pieces)
    elif kind in _CALLS:
        pieces.append(call_of(item.get("name"), item.get(_CALLS[kind])))
    elif kind.endswith("_output"):
        pieces_of(TOOL, item.get("output"), _TEXTS, _SILENT, pieces)
    elif kind == "item_reference":
        add(ASSISTANT, item.get("id"), pieces)
    else:
        pieces.append((ASSISTANT, substance(item)))
