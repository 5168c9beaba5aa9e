"""The arguments of tool calls as services really write them: JSON text, an object, or nothing in many forms.

Neutral calls have them as JSON text, `{}` for none, which clients parse. Begin reading at `arguments_of`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.custom_tools import INPUT
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import ToolCall
from llmproxy.wire.json import read_value, write_value

NO_ARGUMENTS = "{}"
"""The arguments of a call that has none."""
RAW = "_raw"
"""Holds arguments that are not a JSON object where only objects go; a model that is cut off writes such."""
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
    """Return whether the arguments of a call are any: some services send a space or `null` where others send `{}`."""
    return arguments.strip() not in ("", _NULL)


def may_be_none(arguments: str) -> bool:
    """Return whether the beginning of some arguments may still turn out to be none."""
    return _NULL.startswith(arguments.strip())


def decode_arguments(arguments: str) -> dict[str, Any] | None:
    """Return the JSON object in a call's arguments, None for other text. No arguments are an empty object."""
    value = read_value(arguments.encode("utf-8", "surrogatepass")) if arguments.strip() else {}
    return value if isinstance(value, dict) else None


def arguments_object(call: ToolCall, context: EncodeContext) -> dict[str, Any]:
    """Return the arguments of a call in a history, for services that refuse any but objects. Others are kept as text,
    since the call stays in the history for ever after."""
    arguments = decode_arguments(call.arguments)
    if arguments is None:
        context.adapt(call.path, "the arguments are not a JSON object", f"an object with the member {RAW}")
        return {RAW: call.arguments}
    return arguments


def encode_input(call: ToolCall, arguments: str, losses: Losses) -> dict[str, Any]:
    """Return the input of a call in an answer, with `arguments`. Those that are no JSON object are kept as text."""
    if call.custom:
        return {INPUT: arguments}
    decoded = decode_arguments(arguments)
    if decoded is None:
        losses.drop("reply.tool_call.arguments")
        return {RAW: arguments}
    return decoded
