"""The history of a request, in pieces that are the same in every dialect: for recognizing a conversation.

A piece is a role and a text: a text of a message, a tool call with its arguments, a tool's result, the data or the URL
of a picture. What clients change from turn to turn by accident is left out: system prompts, thinking, ids, cache marks,
white space at the ends of texts, key order, a string or its parts. Dialects know where the pieces stand
(`Readers.history`), this module knows what they have in common.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from llmproxy.wire.json import read_value

Piece = tuple[str, str]
"""The role (USER, ASSISTANT, CALL or TOOL), and the text, never empty."""

USER, ASSISTANT, CALL, TOOL = "user", "assistant", "call", "tool"
MADE = frozenset({ASSISTANT, CALL})
"""The roles of what a model wrote."""

INSTRUCTIONS = frozenset({"system", "developer"})
"""The roles of messages that are no part of a history."""

_ENCODE = msgspec.json.Encoder(order="sorted").encode
# White space inside texts costs too much to level out in long ones, which are alike by their words all the same.
_SHORT = 200
_PASSING = frozenset(
    {"cache_control", "prompt_cache_breakpoint", "id", "status", "annotations", "logprobs", "citations"}
)


class History(msgspec.Struct, frozen=True, gc=False):
    """The pieces of a request in order, how many messages they came in, and where those of the last one begin."""

    pieces: list[Piece]
    messages: int
    last: int = 0


NO_HISTORY = History([], 0)


def read_messages(
    messages: object, add_message: Callable[[Mapping[str, Any], list[Piece]], None], *, roles: bool = True
) -> History:
    """Return the history of a list of messages; `add_message` adds the pieces of one. Instructions are left out, and
    with `roles` what has no role."""
    pieces: list[Piece] = []
    count = last = 0
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            role = message.get("role")
            if role not in INSTRUCTIONS if isinstance(role, str) else not roles:
                count += 1
                last = len(pieces)
                add_message(message, pieces)
    return History(pieces, count, last)


def add_content(role: str, content: object, texts: frozenset[str], silent: frozenset[str], pieces: list[Piece]) -> None:
    """Add the pieces of a message's content: a string, or parts of which those of the types `texts` hold a text and
    those of `silent` say nothing."""
    if isinstance(content, str):
        add(role, content, pieces)
        return
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        kind = type_of(part)
        if kind in texts:
            add(role, part.get("text"), pieces)
        elif kind == "refusal":
            add(role, part.get("refusal"), pieces)
        elif kind not in silent:
            add(role, substance(part), pieces)


def add(role: str, text: object, pieces: list[Piece]) -> None:
    """Add a text that is not blank."""
    if isinstance(text, str):
        # The usual case, in which there is nothing to level out: 3,500 instructions instead of 14,000.
        level = len(text) > _SHORT or ("  " not in text and text.isprintable())
        trimmed = text.strip() if level else " ".join(text.split())
        if trimmed:
            pieces.append((role, trimmed))


def type_of(part: Mapping[str, object]) -> str:
    """Return the member `type`, empty when that is no text."""
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def call_of(name: object, arguments: object) -> Piece:
    """Return the piece of a tool call; `arguments` are JSON as text, or the value itself."""
    return CALL, f"{name if isinstance(name, str) else ''} {_arguments(arguments)}"


def _arguments(arguments: object) -> str:
    """Return arguments as canonical JSON or free text, which messages have as the only member `input`."""
    value = _decode(arguments) if isinstance(arguments, str) else arguments
    inner = value.get("input") if isinstance(value, dict) and len(value) == 1 else None
    if isinstance(inner, str):
        return _arguments(inner)
    return str(arguments or "{}") if value is None else _canonical(value)


def _decode(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return read_value(text.encode("utf-8", "surrogatepass"))


def substance(part: Mapping[str, object]) -> str:
    """Return any other part as text: the data or the URL where it holds one, else all that stays the same."""
    data = _data(part)
    return data if data is not None else _canonical({name: part[name] for name in part if name not in _PASSING})


def _data(part: Mapping[str, object], depth: int = 0) -> str | None:
    """Return what stands in the first of the usual places for data, so that it is the same in every dialect."""
    for name in ("data", "url", "image_url", "file_data", "file_id", "file_url"):
        value = part.get(name)
        if isinstance(value, str) and value:
            head, comma, data = value.partition(";base64,") if value.startswith("data:") else ("", "", value)
            return data if comma else head or data
    inner: Iterable[object] = part.values() if depth < 2 else ()
    for value in inner:
        if isinstance(value, dict) and (found := _data(value, depth + 1)) is not None:
            return found
    return None


def _canonical(value: object) -> str:
    """Return `value` as canonical JSON; "[...]" for one that is nested too deeply to be written."""
    try:
        return _ENCODE(value).decode()
    except (UnicodeError, RecursionError):
        pass
    try:
        return json.dumps(value, sort_keys=True)
    except RecursionError:
        return "[...]"
