"""What was said in a request, in pieces that are the same in every dialect: for recognising a conversation.

A piece is who said it and its text: a text of a message, a tool call with its arguments, a tool's result, the data or
the URL of a picture. What clients change from turn to turn without meaning to is left out: system prompts, thinking,
ids, cache marks, white space at the ends of texts, key order, a string or its parts. Dialects know where the pieces
stand (`Readers.history`), this module knows what they have in common.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec

from llmproxy.wire.json import read_value

Piece = tuple[str, str]
"""Who said it (USER, ASSISTANT, CALL or TOOL), and its text, never empty."""

USER, ASSISTANT, CALL, TOOL = "user", "assistant", "call", "tool"
MADE = frozenset({ASSISTANT, CALL})
"""What a model said."""

_ENCODE = msgspec.json.Encoder(order="sorted").encode
# White space inside texts costs too much to level out in long ones, which are alike by their words all the same.
_SHORT = 200
_PASSING = frozenset({"cache_control", "id", "status", "annotations", "logprobs", "citations"})


class History(msgspec.Struct, frozen=True, gc=False):
    """The pieces of a request in order, how many messages they came in, and where those of the last one begin."""

    pieces: list[Piece]
    messages: int
    last: int = 0


NO_HISTORY = History([], 0)


def pieces_of(role: str, content: object, texts: frozenset[str], silent: frozenset[str], pieces: list[Piece]) -> None:
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
    """Add a text, when it is one that says something."""
    if isinstance(text, str):
        said = text.strip() if len(text) > _SHORT else " ".join(text.split())
        if said:
            pieces.append((role, said))


def type_of(part: Mapping[str, object]) -> str:
    """The member `type`, empty when that is no text."""
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def call_of(name: object, arguments: object) -> Piece:
    """A tool call; `arguments` are JSON as text, or the value itself."""
    return CALL, f"{name if isinstance(name, str) else ''} {_told(arguments)}"


def _told(arguments: object) -> str:
    """Arguments as canonical JSON or free text, which messages have as the only member `input`."""
    value = _read(arguments) if isinstance(arguments, str) else arguments
    inner = value.get("input") if isinstance(value, dict) and len(value) == 1 else None
    if isinstance(inner, str):
        return _told(inner)
    return str(arguments or "{}") if value is None else _sorted(value)


def _read(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return read_value(text.encode("utf-8", "surrogatepass"))


def substance(part: Mapping[str, object]) -> str:
    """Any other part as text: the data or the URL where it holds one, else all that does not pass."""
    data = _data(part)
    return data if data is not None else _sorted({name: part[name] for name in part if name not in _PASSING})


def _data(part: Mapping[str, object], depth: int = 0) -> str | None:
    """The longest of the usual places for data, alone, so that it is the same in every dialect."""
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


def _sorted(value: object) -> str:
    """`value` as canonical JSON. What is nested too deeply to be written says nothing but that."""
    try:
        return _ENCODE(value).decode()
    except (UnicodeError, RecursionError):
        pass
    try:
        return json.dumps(value, sort_keys=True)
    except RecursionError:
        return "[...]"
