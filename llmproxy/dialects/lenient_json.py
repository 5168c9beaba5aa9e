"""Reads JSON that others wrote: only the fields that are needed, and no trust in any of them.

A dialect declares msgspec structs whose fields take every type that JSON has (`Any` for a plain value, a struct or
`Other` for an object, a list or `NoList` for a list), so that a wrong type costs that field and not the rest. What is
not declared is skipped without being decoded. The functions return the value of a field when it has the right type.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from llmproxy.wire.json import convert_value

Other = list[Any] | str | int | float | bool | None
"""What may stand where an object belongs."""

MAX_TOKENS = 10**12
"""More than any answer has. The sum of nine million such figures fits into 64 bits, which is what stores have."""

NoList = dict[str, Any] | str | int | float | bool | None
"""What may stand where a list belongs."""


class Fields(msgspec.Struct, gc=False):
    """Base of the structs that dialects read."""


_Fields = TypeVar("_Fields", bound=Fields)


def fields_of(kind: type[_Fields], value: object) -> _Fields | None:
    """Return the fields of a decoded JSON object (or `value` itself when it has been read already); None for others."""
    if type(value) is kind:
        return value
    try:
        return convert_value(value, kind) if isinstance(value, dict) else None
    except (msgspec.ValidationError, RecursionError):
        return None


def string(value: object) -> str | None:
    """Return `value` when it is text that is not empty."""
    return value if isinstance(value, str) and value else None


def count(value: object) -> int | None:
    """Return `value` when it can be a number of tokens; None, which is unknown, for anything that cannot."""
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def written_tokens(value: object, prompt: int | None, cached: int | None) -> int | None:
    """Return the tokens written to the cache: at most the prompt less what was read, as some services count both."""
    tokens = count(value)
    return tokens if tokens is None or prompt is None else min(tokens, max(prompt - (cached or 0), 0))


def object_of(value: object) -> dict[str, Any]:
    """Return `value` when it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; none for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def error_message(error: object) -> str | None:
    """Return the message in the member `error` of a reply, or itself; None when there is no error."""
    if isinstance(error, dict):
        return string(error.get("message")) or string(error.get("type")) or string(error.get("code")) or "error"
    return string(error)


def content_text(content: object) -> str:
    """Return the text of a message's content: a string, or the `text` of its parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | dict)]
    return "".join(text for text in texts if isinstance(text, str))
