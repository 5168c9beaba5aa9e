"""Find the members of a request that its vendor's SDK does not know.

A vendor answers an unknown member with a 400. The values of known ones are judged elsewhere. A union is decided by the
tags `type` and `role`, as the vendors do, so that one unknown member is one complaint. Begin at `unknown_members`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_message_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from typing_extensions import is_typeddict

from tests.support.sdk_types import Member, arms, is_array, members

_CHAT: Any = completion_create_params.CompletionCreateParamsStreaming
_RESPONSES: Any = response_create_params.ResponseCreateParamsStreaming
_MESSAGES: Any = message_create_params.MessageCreateParamsStreaming
_BETA: Any = beta_message_create_params.MessageCreateParamsStreaming
KINDS: dict[str, Any] = {"chat": _CHAT, "responses": _RESPONSES, "messages": _MESSAGES, "messages beta": _BETA}

# What the vendors take beyond the types of their SDKs: knobs of older models, and what their own agents send.
_KNOBS = ("temperature", "top_p", "top_k")
_BEYOND: dict[str, tuple[str, ...]] = {
    "chat": ("annotations",),
    "responses": ("client_metadata", "search_content_types", "id", "status", "phase"),
    "messages": _KNOBS,
    "messages beta": _KNOBS,
}


def unknown_members(dialect: str, body: dict[str, Any]) -> list[str]:
    """List the paths of the unknown members of a request, tags that no type has among them."""
    paths = _unknown(body, KINDS[dialect], "")
    return [path for path in paths if path.rpartition(".")[2] not in _BEYOND[dialect]]


def _unknown(value: object, kind: Any, path: str) -> list[str]:
    choices = arms(kind)
    if isinstance(value, dict):
        objects = tuple(choice for choice in choices if is_typeddict(choice))
        if not objects or len(objects) < len(choices) - _words(choices):
            return []  # a free map, such as a schema
        fitting = [choice for choice in objects if _fits(value, choice)]
        if not fitting:
            return [f"{path}.{'type' if 'type' in value else 'role'}"[1:]]
        return min((_unknown_in(value, choice, path) for choice in fitting), key=len)
    if isinstance(value, list):
        lists = [choice for choice in choices if is_array(choice)]
        return [
            each
            for index, item in enumerate(value)
            for each in min(
                (_unknown(item, get_args(one)[0], f"{path}[{index}]") for one in lists), key=len, default=[]
            )
        ]
    return []


def _words(choices: list[Any]) -> int:
    """Count the members of a union that no object can be."""
    return sum(1 for one in choices if one in (str, int, float, bool) or get_origin(one) is Literal or is_array(one))


def _fits(value: dict[str, Any], kind: Any) -> bool:
    return all(
        value.get(name, None if needed else word) == word or value.get(name) in words
        for name, (words, word, needed) in _tags(kind).items()
    )


@lru_cache(maxsize=4096)
def _tags(kind: Any) -> dict[str, tuple[tuple[Any, ...], Any, bool]]:
    """Return the tags of an object type: their words, the first of them, and whether they must be there."""
    found: dict[str, tuple[tuple[Any, ...], Any, bool]] = {}
    for name in ("type", "role"):
        if member := members(kind).get(name):
            words = tuple(word for arm in arms(member.kind) if get_origin(arm) is Literal for word in get_args(arm))
            if words:
                found[name] = (words, words[0], member.required)
    return found


def _unknown_in(value: dict[str, Any], kind: Any, path: str) -> list[str]:
    fields: dict[str, Member] = members(kind)
    result = []
    for name, inner in value.items():
        if name in fields:
            result += _unknown(inner, fields[name].kind, f"{path}.{name}")
        else:
            result.append(f"{path}.{name}"[1:])
    return result
