"""Responses in the other form.

Source: platform.openai.com/docs/api-reference/responses-streaming (event types and their order).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmproxy.dialects.lenient_json import objects
from llmproxy.dialects.reshape import JsonObject, Reshape, events_in, read_object, typed_frames
from llmproxy.wire.json import write_value

_LAST = ("response.completed", "response.incomplete")
_UNDONE = ("failed", "cancelled", "queued", "in_progress")
_SILENT = ("message", "reasoning")


class ResponsesReshape(Reshape):
    """`POST /responses`."""

    def is_repeatable(self, request: Mapping[str, Any]) -> bool:
        return request.get("conversation") is None and request.get("background") is not True

    def names_stored(self, request: Mapping[str, Any]) -> bool:
        if request.get("previous_response_id") is not None:
            return True
        # The type of a reference may be left out.
        return any(
            item.get("type") == "item_reference" or ("id" in item and item.get("type") is None and "role" not in item)
            for item in objects(request.get("input"))
        )

    def says_something(self, reply: bytes) -> bool:
        value = read_object(reply) or {}
        return value.get("status") not in _UNDONE and any(
            item.get("type") not in _SILENT or item.get("content") or item.get("summary")
            for item in objects(value.get("output"))
        )

    def _to_stream(self, reply: JsonObject, usage: bool) -> bytes | None:
        if not isinstance(reply.get("output"), list):
            return None
        last = f"response.{reply.get('status')}"
        if last not in _LAST:
            return None
        begun = {**reply, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        if "completed_at" in reply:
            begun["completed_at"] = None
        events: list[JsonObject] = [
            {"type": kind, "response": begun} for kind in ("response.created", "response.in_progress")
        ]
        for index, item in enumerate(objects(reply["output"])):
            events += _item_events(index, item)
        return typed_frames([*events, {"type": last, "response": reply}], numbered=True)

    def _to_reply(self, stream: bytes) -> bytes | None:
        for event in events_in(stream):
            if event.get("type") in _LAST and isinstance(event.get("response"), dict):
                return write_value(event["response"])
        return None


def _item_events(index: int, item: JsonObject) -> list[JsonObject]:
    """Return the events of one item: its beginning, its content, its end."""
    kind, place = item.get("type"), {"output_index": index}
    begun = item
    content: list[JsonObject] = []
    if isinstance(kind, str) and kind in _KINDS:
        empty, events_of_item = _KINDS[kind]
        begun = _begun(item, empty)
        content = [{**event, **place, "item_id": item.get("id")} for event in events_of_item(item)]
    return [
        {"type": "response.output_item.added", **place, "item": begun},
        *content,
        {"type": "response.output_item.done", **place, "item": item},
    ]


def _begun(item: JsonObject, empty: JsonObject) -> JsonObject:
    """Return an item that has only begun, with its members of `empty` as they are there."""
    status = {"status": "in_progress"} if "status" in item else {}
    return {**item, **status, **{name: value for name, value in empty.items() if name in item}}


def _message(item: JsonObject) -> Iterator[JsonObject]:
    for number, part in enumerate(objects(item.get("content"))):
        place = {"content_index": number}
        name = "refusal" if part.get("type") == "refusal" else "text"
        event = "response.refusal" if name == "refusal" else "response.output_text"
        odds: JsonObject = {} if name == "refusal" else {"logprobs": _without_bytes(part.get("logprobs") or [])}
        empty = {**part, name: "", **({"annotations": []} if "annotations" in part else {})}
        yield {"type": "response.content_part.added", **place, "part": empty}
        yield {"type": f"{event}.delta", **place, "delta": part.get(name, ""), **odds}
        for count, note in enumerate(part.get("annotations") or []):
            added = "response.output_text.annotation.added"
            yield {"type": added, **place, "annotation_index": count, "annotation": note}
        yield {"type": f"{event}.done", **place, name: part.get(name, ""), **odds}
        yield {"type": "response.content_part.done", **place, "part": part}


def _without_bytes(logprobs: Any) -> Any:
    """Return logprobs as events have them; only items name the bytes of tokens too."""
    if isinstance(logprobs, list):
        return [_without_bytes(each) for each in logprobs]
    if not isinstance(logprobs, dict):
        return logprobs
    return {name: _without_bytes(each) for name, each in logprobs.items() if name != "bytes"}


def _reasoning(item: JsonObject) -> Iterator[JsonObject]:
    for member, place_name, part_event, text_event in _REASONING:
        for number, part in enumerate(objects(item.get(member))):
            place, text = {place_name: number}, part.get("text", "")
            yield {"type": f"{part_event}.added", **place, "part": {**part, "text": ""}}
            yield {"type": f"{text_event}.delta", **place, "delta": text}
            yield {"type": f"{text_event}.done", **place, "text": text}
            yield {"type": f"{part_event}.done", **place, "part": part}


def _call(event: str, name: str) -> Callable[[JsonObject], Iterator[JsonObject]]:
    def events(item: JsonObject) -> Iterator[JsonObject]:
        yield {"type": f"{event}.delta", "delta": item.get(name, "")}
        named = {"name": item.get("name")} if item.get("type") == "function_call" else {}
        yield {"type": f"{event}.done", name: item.get(name, ""), **named}

    return events


_REASONING = (
    ("summary", "summary_index", "response.reasoning_summary_part", "response.reasoning_summary_text"),
    ("content", "content_index", "response.content_part", "response.reasoning_text"),
)
_EMPTY_CALL: JsonObject = {"arguments": "", "input": ""}
# Members that are empty as an item begins, and the events that fill them.
_KINDS: dict[str, tuple[JsonObject, Callable[[JsonObject], Iterator[JsonObject]]]] = {
    "message": ({"content": []}, _message),
    "reasoning": ({"summary": [], "content": []}, _reasoning),
    "function_call": (_EMPTY_CALL, _call("response.function_call_arguments", "arguments")),
    "custom_tool_call": (_EMPTY_CALL, _call("response.custom_tool_call_input", "input")),
    "mcp_call": (_EMPTY_CALL, _call("response.mcp_call_arguments", "arguments")),
}

RESHAPE = ResponsesReshape()
