"""The types of `google.genai` as they stand on the wire: TypedDicts for whoever walks the SDKs' types, and answers.

The SDK's own TypedDicts have Python's names; its pydantic models know the names of JSON. Begin at `REQUEST`,
`check_gemini_reply` and `accumulate_gemini`.
"""

from __future__ import annotations

import datetime
import enum
import inspect
import json
import types as python_types
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, NotRequired, Required, TypedDict, Union, get_args, get_origin

import httpx2
import pydantic
from google.genai import types
from google.genai._api_client import HttpResponse

# Members of a part of which each part has one, and those that may stand beside it.
_DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult")
_DATA_OF_TOOLS = ("toolCall", "toolResponse")
_BESIDE = {"text": ("thought", "thoughtSignature"), "functionCall": ("thoughtSignature",)}
_CONFIG_ALONE = ("routingConfig", "modelSelectionConfig", "enableAffectiveDialog", "translationConfig")
_LEAVES: dict[Any, Any] = {bytes: str, datetime.datetime: str, str: str, int: int, float: float, bool: bool}


@cache
def _type_of(model: type[pydantic.BaseModel]) -> Any:
    if model is types.Schema:
        return dict[str, Any]
    members = {
        field.alias or name: _read(field.annotation)
        for name, field in model.model_fields.items()
        if not inspect.isclass(field.annotation) or field.annotation is not types.HttpResponse
    }
    if model is types.Part:
        return _parts(members)
    needed = {"name"} if model in (types.FunctionDeclaration, types.FunctionCall, types.FunctionResponse) else set()
    needed |= {"data"} if model in (types.Blob, types.FunctionResponseBlob) else set()
    needed |= {"fileUri"} if model in (types.FileData, types.FunctionResponseFileData) else set()
    return _typed(model.__name__, members, needed)


def _typed(name: str, members: dict[str, Any], needed: set[str]) -> Any:
    kinds = {each: Required[kind] if each in needed else NotRequired[kind] for each, kind in members.items()}
    return TypedDict(name, kinds, total=False)  # type: ignore[operator]  # made at run time


def _parts(members: dict[str, Any]) -> Any:
    arms = []
    for name in (*_DATA, *_DATA_OF_TOOLS):
        beside = {each: members[each] for each in _BESIDE.get(name, ())}
        arms.append(_typed("Part", {name: members[name], **beside}, {name}))
    return Union[tuple(arms)]  # noqa: UP007  # made at run time


def _read(kind: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, python_types.UnionType):
        [first, *_] = [each for each in inner if each is not type(None)]
        return _read(first)
    if origin is list:
        return list[_read(inner[0])]  # type: ignore[misc]
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        words = [each.value for each in kind if "UNSPECIFIED" not in each.value.upper()]
        return Literal[tuple(words)]
    if inspect.isclass(kind) and issubclass(kind, pydantic.BaseModel):
        return _type_of(kind)
    return _LEAVES.get(kind, dict[str, Any])


class _TextPart(TypedDict):
    text: str


def _request() -> Any:
    """Return the body of generateContent, as the SDK's converters write it."""
    config = {
        field.alias or name: _read(field.annotation) for name, field in types.GenerationConfig.model_fields.items()
    }
    config |= {"thinkingConfig": _type_of(types.ThinkingConfig), "imageConfig": _type_of(types.ImageConfig)}
    members: dict[str, Any] = {
        "systemInstruction": _typed("SystemInstruction", {"parts": list[_TextPart]}, {"parts"}),
        "contents": list[_type_of(types.Content)],  # type: ignore[misc]
        "tools": list[_type_of(types.Tool)],  # type: ignore[misc]
        "toolConfig": _type_of(types.ToolConfig),
        "safetySettings": list[_type_of(types.SafetySetting)],  # type: ignore[misc]
        "generationConfig": _typed(
            "GenerationConfig", {name: each for name, each in config.items() if name not in _CONFIG_ALONE}, set()
        ),
        "cachedContent": str,
        "labels": dict[str, Any],
        "serviceTier": _read(types.ServiceTier),
        "store": bool,
        "continuationToken": str,
    }
    return _typed("GenerateContentRequest", members, {"contents"})


REQUEST: Any = _request()


def check_gemini_reply(reply: dict[str, Any]) -> None:
    """Fail for a whole reply that has a wrong or an unknown member."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        types.GenerateContentResponse.model_validate(reply)


class GeminiStreamError(Exception):
    """The error that the SDK finds in a stream."""


def gemini_chunks(frames: bytes) -> Iterator[dict[str, Any]]:
    """Yield the chunks that the SDK reads from a stream. Raises GeminiStreamError for an error in it."""
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=frames)
    for chunk in HttpResponse(answer.headers, answer).segments():
        if json.dumps(chunk).startswith('{"error":'):
            raise GeminiStreamError(chunk["error"]["message"])
        yield chunk


def accumulate_gemini(frames: bytes) -> dict[str, Any]:
    """Return the whole reply in a stream. Raises GeminiStreamError for an error in it. Fails for chunks that are not of
    the SDK's type, and for those that its chats would not keep."""
    reply: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    candidate: dict[str, Any] = {}
    for chunk in gemini_chunks(frames):
        check_gemini_reply(chunk)
        for each in chunk.pop("candidates", ()):
            content = each.pop("content", None)
            if content is not None:
                assert content["role"] == "model" and content["parts"]
                for part in content["parts"]:
                    _grow(parts, part)
            candidate |= each
        reply |= chunk
    if "promptFeedback" in reply:
        return reply
    assert "finishReason" in candidate
    return {"candidates": [{"content": {"parts": parts, "role": "model"}, **candidate}], **reply}


def _grow(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    last = parts[-1] if parts else {}
    if "text" in last and "text" in part and last.get("thought") == part.get("thought"):
        parts[-1] = {**last, **part, "text": last["text"] + part["text"]}
    elif part != {"text": ""}:
        parts.append(part)
