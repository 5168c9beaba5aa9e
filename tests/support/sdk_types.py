"""Inspect the SDKs' types of requests: find the errors of a value, and generate values of a type.

The params types are TypedDicts, whose members may be unions, lists and literals of more of them. pydantic reads their
`Iterable` members lazily and lets unknown members pass, so they are walked here. Begin at `misfits`, `variants`.
"""

from __future__ import annotations

import collections.abc
import itertools
import os
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, NotRequired, Required, Union, get_args, get_origin

import typing_extensions
from anthropic.types import message_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import ResponseInputAudioParam, response_create_params
from typing_extensions import is_typeddict

from tests.support import converse_types, gemini_types

PARAMS: dict[str, Any] = {
    "converse": converse_types.REQUEST,
    "gemini": gemini_types.REQUEST,
    "chat": completion_create_params.CompletionCreateParamsNonStreaming,
    "responses": response_create_params.ResponseCreateParamsNonStreaming,
    "messages": message_create_params.MessageCreateParamsNonStreaming,
}
_DEEPEST = 12


# Knobs that the API takes from older models and the SDK 2.x has left out of its types.
_OLDER = {"temperature", "top_p", "top_k"}


def misfits(dialect: str, body: dict[str, Any]) -> list[str]:
    """Return the fields of a request that are unknown to the vendor's types, missing, or of a wrong type."""
    if dialect == "converse":
        return [*complaints(body, PARAMS[dialect]), *converse_types.complaints_of_botocore(body)]
    names = {name: value for name, value in body.items() if name != "stream"}
    if dialect == "messages":
        names = {name: value for name, value in names.items() if name not in _OLDER}
    if isinstance(names.get("input"), list):
        names["input"] = [_as_typed(item) for item in names["input"]]
    if dialect == "chat":
        names["messages"] = [_for_openai(message) for message in names["messages"]]
    return complaints(names, PARAMS[dialect])


def _for_openai(message: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only compatible services take of chat: videos, and sounds in other formats than two."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    kept = [part for part in parts if part.get("type") != "video_url" and not _is_other_sound(part)]
    return {**message, "content": kept}


def _is_other_sound(part: dict[str, Any]) -> bool:
    return part.get("type") == "input_audio" and part["input_audio"].get("format") not in ("wav", "mp3")


def _as_typed(item: dict[str, Any]) -> dict[str, Any]:
    """Adapt an item of responses where the API accepts more than its types: sounds, whose type is in no union, and
    earlier messages of the model without id and status."""
    parts = item.get("content")
    if item.get("role") == "assistant" and isinstance(parts, list):
        return {"type": "message", "id": "msg_1", "status": "completed", **item}
    sounds = [part for part in parts if part.get("type") == "input_audio"] if isinstance(parts, list) else []
    known = [part for part in sounds if not _is_other_sound(part)]
    assert [each for part in known for each in complaints(part, ResponseInputAudioParam)] == []
    return {**item, "content": [part for part in parts if part not in sounds]} if sounds and parts else item


class Member(NamedTuple):
    """A member of a TypedDict."""

    kind: Any
    required: bool


def members(kind: Any) -> dict[str, Member]:
    """Return the members of a TypedDict."""
    hints = _HINTS.get(kind)
    if hints is None:
        needed = kind.__required_keys__
        match = typing_extensions.get_type_hints(kind, include_extras=True)
        hints = {name: Member(_bare(each), name in needed or _says(each, Required)) for name, each in match.items()}
        _HINTS[kind] = hints
    return hints


_HINTS: dict[Any, dict[str, Member]] = {}


def _says(kind: Any, word: Any) -> bool:
    return get_origin(kind) in (word, getattr(typing_extensions, word._name))


def _bare(kind: Any) -> Any:
    """Return a type without its wrappers."""
    while True:
        if isinstance(kind, typing_extensions.TypeAliasType):
            kind = kind.__value__
        elif (
            _says(kind, Required) or get_origin(kind) is NotRequired or get_origin(kind) is typing_extensions.Annotated
        ):
            kind = get_args(kind)[0]
        else:
            return kind


def arms(kind: Any) -> list[Any]:
    """Return the members of a union, without None; for another type, the type itself."""
    kind = _bare(kind)
    if get_origin(kind) not in (Union, types.UnionType):
        return [kind]
    return [arm for each in get_args(kind) if each is not type(None) for arm in arms(each) if _of_json(arm)]


def _of_json(kind: Any) -> bool:
    """Return whether a type is one of JSON: files may also be given as bytes and paths, which the SDK reads."""
    origin = get_origin(kind)
    if origin is not None:
        return origin not in (typing.IO, os.PathLike)
    return is_typeddict(kind) or kind in (str, int, float, bool, dict, object, Any)


def complaints(value: object, kind: Any, path: str = "") -> list[str]:
    """List the errors of `value`, which should be a `kind`: unknown fields, missing ones, wrong types."""
    choices = arms(kind)
    if value is None and type(None) in get_args(_bare(kind)):
        return []
    match = [_complaints(value, choice, path) for choice in choices]
    # For a union, the errors of the best matching member.
    return min(match, key=len, default=[])


def _complaints(value: object, kind: Any, path: str) -> list[str]:
    if is_typeddict(kind):
        return _object_complaints(value, kind, path)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [] if value in inner else [f"{path}: {value!r} is none of {inner}"]
    if kind in (Any, object):
        return []
    if _is_map(kind):
        return [] if isinstance(value, dict) else [f"{path}: is no object"]
    if is_array(kind):
        if not isinstance(value, list):
            return [f"{path}: is no array"]
        return [each for index, item in enumerate(value) for each in complaints(item, inner[0], f"{path}[{index}]")]
    expected: Any = (int, float) if kind is float else kind
    fits = isinstance(value, expected) and (kind is bool or not isinstance(value, bool))
    return [] if fits else [f"{path}: {value!r} is no {kind}"]


def _object_complaints(value: object, kind: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: is no object", f"{path}: of {kind.__name__}"]
    names = members(kind)
    match = [f"{path}.{name}: unknown to {kind.__name__}" for name in value if name not in names]
    for name, member in names.items():
        if name in value:
            inner = complaints(value[name], member.kind, f"{path}.{name}")
            # An arm of a union with another tag is never the one that was meant.
            match += inner * 20 if name in ("type", "role") else inner
        elif member.required:
            match.append(f"{path}.{name}: missing in {kind.__name__}")
    return match


class Variant(NamedTuple):
    """A value and the path of the field that it varies; `other` has another value or none there."""

    path: str
    value: Any
    other: Any


_ABSENT = object()
_NUMBERS = itertools.count(2000)


def sample(kind: Any) -> Any:
    """Return the shortest value of a type."""
    kind = arms(kind)[0]
    if is_typeddict(kind):
        return {name: sample(member.kind) for name, member in members(kind).items() if member.required}
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return inner[0]
    if _is_map(kind):
        return {}
    if is_array(kind):
        return [sample(inner[0])]
    return _leaf(kind)


def _leaf(kind: Any) -> Any:
    return {str: f"word{next(_NUMBERS)}", bool: True, int: next(_NUMBERS), float: 0.5}[kind]


def variants(kind: Any, seen: tuple[Any, ...] = ()) -> Iterator[Variant]:
    """Yield values of a type, one for every field of every object in it and every member of every union."""
    for arm in arms(kind):
        if is_typeddict(arm):
            if arm not in seen and len(seen) < _DEEPEST:
                yield from _object_variants(arm, (*seen, arm))
        elif is_array(arm):
            for each in variants(get_args(arm)[0], seen):
                yield Variant(f"[0]{_dotted(each.path)}", [each.value], [] if each.other is _ABSENT else [each.other])
        else:
            yield from _leaf_variants(arm)


def is_array(kind: Any) -> bool:
    """Return whether a type is one of lists."""
    origin = get_origin(kind)
    return origin is not None and origin is not Literal and not _is_map(kind)


def _is_map(kind: Any) -> bool:
    return kind in (Any, object, dict) or get_origin(kind) in (dict, collections.abc.Mapping)


def _leaf_variants(kind: Any) -> Iterator[Variant]:
    if get_origin(kind) is Literal:
        words = get_args(kind)
        for word in words:
            yield Variant("", word, next((other for other in words if other != word), _ABSENT))
    elif _is_map(kind):
        yield Variant("", {f"word{next(_NUMBERS)}": f"word{next(_NUMBERS)}"}, {})
    elif kind is bool:
        yield Variant("", True, False)
        yield Variant("", False, True)
    else:
        value = _leaf(kind)
        yield Variant("", value, _leaf(kind) if kind is str else value / 2 if kind is float else value * 20)


def _object_variants(kind: Any, seen: tuple[Any, ...]) -> Iterator[Variant]:
    whole = sample(kind)
    yield Variant("", whole, _ABSENT)
    for name, member in members(kind).items():
        for each in variants(member.kind, seen):
            other: Any = {key: value for key, value in whole.items() if key != name}
            if each.other is not _ABSENT and (member.required or each.path):
                other = {**whole, name: each.other}
            elif member.required:
                other = _ABSENT
            yield Variant(f"{name}{_dotted(each.path)}", {**whole, name: each.value}, other)


def _dotted(path: str) -> str:
    return path if not path or path.startswith("[") else f".{path}"


def is_absent(value: object) -> bool:
    """Return whether a variant has no other value to be compared with."""
    return value is _ABSENT
