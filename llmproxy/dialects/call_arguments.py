"""The arguments of tool calls as services really write them: JSON text, an object, or nothing in many forms.

Neutral calls have them as JSON text, `{}` for none, which clients parse. Begin reading at `arguments_of`.
"""

from __future__ import annotations

from llmproxy.wire.json import write_value

NO_ARGUMENTS = "{}"
"""The arguments of a call that has none."""
_NULL = "null"


def arguments_text(value: object) -> str:
    """Return the text in the member for arguments, or in a piece of them: an object as JSON, "" for nothing."""
    if isinstance(value, str):
        return value
    return write_value(value).decode() if value or isinstance(value, dict) else ""


def arguments_of(value: object) -> str:
    """Return the arguments of a whole call."""
    text = arguments_text(value)
    return text if has_arguments(text) else NO_ARGUMENTS


def has_arguments(arguments: str) -> bool:
    """Say whether the arguments of a call are any: some services send a space or `null` where others send `{}`."""
    return arguments.strip() not in ("", _NULL)


def may_be_none(arguments: str) -> bool:
    """Say whether the beginning of some arguments may still turn out to be none."""
    return _NULL.startswith(arguments.strip())
