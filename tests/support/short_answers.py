"""One answer of each vendor with the parts that a test names: whole, and as the frames of a stream.

Unlike `vendors.py`, which shows well-behaved answers, the parts may be as odd as a test wants them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llmproxy.dialects import catalog
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.encode_context import Options
from llmproxy.translation.translation import Translation, read_request

NAMES = ("chat", "messages", "responses")
PAIRS = [(client, provider) for client in NAMES for provider in NAMES if client != provider]
ASKS: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "messages": {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 99},
    "responses": {"model": "m", "input": "hi"},
}
STOPS = {"chat": "stop", "messages": "end_turn", "responses": "completed"}
MISSING = object()
"""In the place of arguments: the call has no such member."""


def codec(name: str) -> Codec:
    """Return the codec of a dialect."""
    return catalog.codecs()[name]


def translation(client: str, provider: str, **more: object) -> Translation:
    """Return the translation of a short request, as far as the provider has it."""
    request = read_request(codec(client), json.dumps(ASKS[client] | more).encode())
    made = Translation(request, codec(client), codec(provider), options=Options(), strict=False)
    made.request("m")
    return made


def frame(value: object, name: str = "") -> bytes:
    """Return one event; lone halves of characters are escaped."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


def whole(
    provider: str,
    text: str | None = None,
    *,
    arguments: object = None,
    stop: object = None,
    usage: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a whole answer with a text, or with a call `look` that has `arguments`. `stop` is the vendor's word."""
    called = arguments is not None
    given = {} if arguments is MISSING else {"input" if provider == "messages" else "arguments": arguments}
    if provider == "messages":
        block: dict[str, Any] = {"type": "text", "text": text}
        if called:
            block = {"type": "tool_use", "id": "toolu_1", "name": "look", **given}
        body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [block]}
        return (
            body | {"stop_reason": stop or ("tool_use" if called else "end_turn"), "stop_sequence": None} | _of(usage)
        )
    if provider == "chat":
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if called:
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": {"name": "look", **given}}]
        choice = {"index": 0, "message": message, "finish_reason": stop or ("tool_calls" if called else "stop")}
        return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice]} | _of(usage)
    item: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    item["content"] = [{"type": "output_text", "text": text, "annotations": []}]
    if called:
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", **given}
    body = {"id": "resp_1", "object": "response", "model": "m", "output": [item], "error": None} | _of(usage)
    return body | ended(stop)


def ended(stop: object) -> dict[str, Any]:
    """Return the members by which a response says why it ended."""
    reason = {} if stop is None else {"reason": stop}
    return {"status": "incomplete" if reason else "completed", "incomplete_details": reason or None}


def _of(usage: dict[str, Any] | None) -> dict[str, Any]:
    return {} if usage is None else {"usage": usage}


def frames(
    provider: str,
    pieces: Sequence[object] = (),
    *,
    kind: str = "text",
    stop: object = None,
    usage: dict[str, Any] | None = None,
) -> list[bytes]:
    """Return a stream with one block that comes in pieces: `text`, `thinking`, or the arguments of a call (`call`)."""
    return [start(provider), *block(provider, pieces, kind), *end(provider, kind, stop, usage)]


def start(provider: str, name: str = "1") -> bytes:
    """Return the event that begins an answer of the id `name`."""
    if provider == "chat":
        return chunk({"role": "assistant", "content": ""}, name=name)
    if provider == "messages":
        message = {"id": f"msg_{name}", "type": "message", "role": "assistant", "model": "m", "content": []}
        return event("message_start", message=message)
    return event("response.created", response={"id": f"resp_{name}", "model": "m", "status": "in_progress"})


def chunk(delta: dict[str, Any], finish: object = None, name: str = "1", **more: object) -> bytes:
    """Return a chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chat = {"id": f"chatcmpl-{name}", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return frame(chat | more)


def event(kind: str, **members: object) -> bytes:
    """Return an event of messages or of responses."""
    return frame({"type": kind, **members}, kind)


def block(provider: str, pieces: Sequence[object], kind: str = "text") -> list[bytes]:
    """Return the events of one block, of which each piece is a delta."""
    return {"chat": _chat_block, "messages": _messages_block, "responses": _responses_block}[provider](pieces, kind)


def _chat_block(pieces: Sequence[object], kind: str) -> list[bytes]:
    if kind != "call":
        return [chunk({"content" if kind == "text" else "reasoning_content": piece}) for piece in pieces]
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look"}}
    more = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
    return [chunk({"tool_calls": [each]}) for each in (first, *more)]


def _messages_block(pieces: Sequence[object], kind: str) -> list[bytes]:
    content, delta, member = {
        "text": ({"type": "text", "text": ""}, "text_delta", "text"),
        "thinking": ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"),
        "call": (
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
            "input_json_delta",
            "partial_json",
        ),
    }[kind]
    grown = [event("content_block_delta", index=0, delta={"type": delta, member: piece}) for piece in pieces]
    return [
        event("content_block_start", index=0, content_block=content),
        *grown,
        event("content_block_stop", index=0),
    ]


def _responses_block(pieces: Sequence[object], kind: str) -> list[bytes]:
    items: dict[str, tuple[dict[str, Any], str]] = {
        "text": ({"type": "message", "id": "msg_1", "role": "assistant", "content": []}, "output_text"),
        "thinking": ({"type": "reasoning", "id": "rs_1", "summary": []}, "reasoning_summary_text"),
        "call": (
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look"},
            "function_call_arguments",
        ),
    }
    item, deltas = items[kind]
    place: dict[str, Any] = {"output_index": 0, "item_id": item["id"]}
    place |= {"content_index": 0} if kind == "text" else {"summary_index": 0} if kind == "thinking" else {}
    return [
        event("response.output_item.added", output_index=0, item=item),
        *[event(f"response.{deltas}.delta", **place, delta=piece) for piece in pieces],
        event("response.output_item.done", output_index=0, item=item),
    ]


def end(provider: str, kind: str = "text", stop: object = None, usage: dict[str, Any] | None = None) -> list[bytes]:
    """Return the events that end a stream."""
    called = kind == "call"
    if provider == "chat":
        return [chunk({}, stop or ("tool_calls" if called else "stop"), **_of(usage)), b"data: [DONE]\n\n"]
    if provider == "messages":
        delta = {"stop_reason": stop or ("tool_use" if called else "end_turn"), "stop_sequence": None}
        return [event("message_delta", delta=delta, usage=usage or {}), event("message_stop")]
    response = {"id": "resp_1", "model": "m", "output": [], **ended(stop), **_of(usage)}
    return [event("response.completed" if stop is None else "response.incomplete", response=response)]
