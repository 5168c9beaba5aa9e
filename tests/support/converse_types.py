"""The types of Bedrock's service model, as TypedDicts for whoever walks the SDKs' types, and botocore's own judgement.

botocore has no Python types: its shapes are read here. Blobs are base64 text, as on the wire. Begin at `REQUEST`,
`complaints_of_botocore` and `accumulate_converse`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal, NotRequired, Required, TypedDict, Union

import botocore.parsers
import botocore.session
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError
from botocore.validate import ParamValidator

_SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")
_CONVERSE, _STREAM = _SERVICE.operation_model("Converse"), _SERVICE.operation_model("ConverseStream")
_EVENTS = _STREAM.output_shape.members["stream"]
_LEAVES: dict[str, Any] = {
    "string": str,
    "blob": str,
    "integer": int,
    "long": int,
    "float": float,
    "boolean": bool,
}


@cache
def _type_of(name: str) -> Any:
    return _read(_SERVICE.shape_for(name))


def _read(shape: Any) -> Any:
    if getattr(shape, "is_document_type", False):
        return dict[str, Any]
    if shape.type_name == "string" and shape.enum:
        return Literal[tuple(shape.enum)]
    if shape.type_name == "list":
        return list[_type_of(shape.member.name)]  # type: ignore[misc]  # made at run time
    if shape.type_name == "map":
        return dict[str, Any]
    if shape.type_name != "structure":
        return _LEAVES[shape.type_name]
    members = {name: _type_of(each.name) for name, each in shape.members.items()}
    if shape.metadata.get("union") or shape.name == "ContentBlock":
        arms = [TypedDict(shape.name, {name: Required[kind]}, total=False) for name, kind in members.items()]  # type: ignore[operator]
        return Union[tuple(arms)]  # noqa: UP007  # made at run time
    needed = set(shape.required_members)
    return TypedDict(  # type: ignore[operator]
        shape.name,
        {name: Required[kind] if name in needed else NotRequired[kind] for name, kind in members.items()},
        total=False,
    )


def _request() -> Any:
    """Return the body of Converse: what does not stand in the path."""
    shape = _CONVERSE.input_shape
    members = {name: NotRequired[_type_of(each.name)] for name, each in shape.members.items() if name != "modelId"}
    return TypedDict("ConverseRequest", members, total=False)  # type: ignore[operator]


REQUEST: Any = _request()


def complaints_of_botocore(body: dict[str, Any], shape: Any = None) -> list[str]:
    """Return what botocore's parameter validation says of a request, or of a value of another shape."""
    if shape is None:
        shape, body = _CONVERSE.input_shape, {"modelId": "anthropic.claude-v1", **body}
    report = ParamValidator().validate(_with_bytes(body, shape), shape)
    return report.generate_report().split("\n") if report.has_errors() else []


def _with_bytes(value: Any, shape: Any) -> Any:
    """Return a value with its blobs as bytes, which must be base64; unknown members stay."""
    if getattr(shape, "is_document_type", False):
        return value
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if shape.type_name == "list" and isinstance(value, list):
        return [_with_bytes(each, shape.member) for each in value]
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            name: _with_bytes(each, shape.members[name]) if name in shape.members else each
            for name, each in value.items()
        }
    return value


def check_converse_reply(reply: dict[str, Any]) -> None:
    """Fail for a whole reply that has a wrong or an unknown member."""
    found = complaints_of_botocore(reply, _CONVERSE.output_shape)
    complaints = [each for each in found if not each.startswith("Invalid length")]  # nobody checks these in answers
    assert not complaints, complaints


class ConverseStreamError(Exception):
    """The exception that botocore raises for one in the stream."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Raw:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data

    def close(self) -> None:
        pass


def converse_events(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events that botocore reads from a stream. Raises ConverseStreamError for an exception in it."""
    parser = botocore.parsers.create_parser("rest-json")
    events = EventStream(_Raw(data), _EVENTS, parser._event_stream_parser, "ConverseStream")
    try:
        yield from events
    except EventStreamError as error:
        found = error.response["Error"]
        raise ConverseStreamError(found["Code"], found["Message"]) from error


def accumulate_converse(data: bytes) -> dict[str, Any]:
    """Return the whole reply in a stream; blobs are base64 again.

    Raises ConverseStreamError for an exception in it. Fails for events that the service model does not have, or not in
    the vendor's order.
    """
    events = list(converse_events(data))
    for event in events:
        for kind, value in event.items():
            report = ParamValidator().validate(value, _EVENTS.members[kind])
            assert not report.has_errors(), report.generate_report()
    kinds = [kind for event in events for kind in event]
    assert kinds[0] == "messageStart" and kinds[-2:] == ["messageStop", "metadata"], kinds
    places = [
        value["contentBlockIndex"] for event in events for value in event.values() if "contentBlockIndex" in value
    ]
    assert places == sorted(places), "blocks come one after the other"
    reply = gather(events)
    for block in reply["output"]["message"]["content"]:
        thinking = block.get("reasoningContent", {})
        if "redactedContent" in thinking:
            thinking["redactedContent"] = base64.b64encode(thinking["redactedContent"]).decode()
    return reply


def gather(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the reply in the events that boto3 gives, as AWS's examples put it together."""
    content: dict[int, dict[str, Any]] = {}
    closed: set[int] = set()
    reply: dict[str, Any] = {"output": {"message": {"content": []}}}
    for event in events:
        [(kind, value)] = event.items()
        index = value.get("contentBlockIndex")
        if kind == "messageStart":
            reply["output"]["message"]["role"] = value["role"]
        elif kind == "contentBlockStart":
            assert index not in content
            content[index] = {name: {**each, "~": ""} for name, each in value["start"].items()}
        elif kind == "contentBlockDelta":
            assert index not in closed
            _grow(content.setdefault(index, {}), value["delta"])
        elif kind == "contentBlockStop":
            assert index in content
            closed.add(index)
        else:
            reply |= value
    assert closed == set(content) == set(range(len(content)))
    reply["output"]["message"]["content"] = [_finished(content[index]) for index in sorted(content)]
    return reply


def _grow(block: dict[str, Any], delta: dict[str, Any]) -> None:

    [(kind, value)] = delta.items()
    if kind == "text":
        block["text"] = block.get("text", "") + value
    elif kind == "toolUse":
        block["toolUse"]["~"] += value["input"]
    elif kind == "reasoningContent":
        _grow_thinking(block, value)
    elif kind == "citation":
        block.setdefault("citations", []).append(value)
    elif kind == "toolResult":
        block["toolResult"].setdefault("content", []).extend(value)
    else:
        block["image"] |= value


def _grow_thinking(block: dict[str, Any], value: dict[str, Any]) -> None:
    inner = block.setdefault("reasoningContent", {})
    if "redactedContent" in value:
        inner["redactedContent"] = value["redactedContent"]
        return
    text = inner.setdefault("reasoningText", {"text": ""})
    text["text"] += value.get("text", "")
    if "signature" in value:
        text["signature"] = value["signature"]


def _finished(block: dict[str, Any]) -> dict[str, Any]:

    if "toolUse" in block:
        block["toolUse"]["input"] = json.loads(block["toolUse"].pop("~") or "{}")
    for each in ("toolResult", "image"):
        if each in block:
            block[each].pop("~")
    if "citations" in block:
        return {"citationsContent": {"content": [{"text": block.get("text", "")}], "citations": block["citations"]}}
    return block
