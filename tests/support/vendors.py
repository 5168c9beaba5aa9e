"""Answers of well-behaved vendors: replies and streams that the official SDKs accept, with usage and tool calls.

`answer` is the default script of a fake upstream: it looks at path and body only. A request that names `tools` gets two
parallel tool calls. The figures of usage are constants here, so that tests can look for them in metrics.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.connection import Received
from tests.support.event_messages import messages_of
from tests.support.provider import Call, Pairs, Reply

TEXT = "Grüße aus dem Süden: 你好 🙂"
PIECES = ("Grüße ", "aus dem ", "Süden: ", "你好 ", "🙂")
TOOL_CALLS = (("call_a", "weather", '{"city": "Łódź"}'), ("call_b", "clock", '{"zone": "UTC", "hours": 24}'))
IN, OUT, CACHED, REASONING = 211, 37, 64, 5

JSON: Pairs = (("Content-Type", "application/json"), ("x-request-id", "req_upstream"), ("openai-processing-ms", "7"))
SSE: Pairs = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("x-request-id", "req_upstream"),
    ("Cache-Control", "no-cache"),
)


EVENTS: Pairs = (("Content-Type", "application/vnd.amazon.eventstream"), ("x-amzn-RequestId", "req_upstream"))


def plain(value: object, *headers: tuple[str, str]) -> Reply:
    """Return a JSON reply."""
    return Reply(headers=JSON + headers, pieces=[_encode(value)])


def streamed(frames: list[bytes], *headers: tuple[str, str]) -> Reply:
    """Return an event stream, one write per frame."""
    return Reply(headers=SSE + headers, pieces=frames, framing="chunked")


def events(values: list[dict[str, Any]]) -> Reply:
    """Return a stream of Bedrock, one write for each event."""
    return Reply(headers=EVENTS, pieces=[messages_of([value]) for value in values], framing="chunked")


def failure(status: int, reason: str, *headers: tuple[str, str]) -> Reply:
    """Return an error as OpenAI and Anthropic both word it closely enough for their SDKs."""
    fault = {
        "type": "error",
        "error": {"type": "vendor_error", "message": f"vendor says {status}", "code": None, "param": None},
    }
    return Reply(status=status, reason=reason, headers=JSON + headers, pieces=[json.dumps(fault).encode()])


async def answer(call: Call) -> None:
    """Script: answer as the vendor of this path; 404 for unknown paths."""
    await call.give(reply_to(call.request))


def reply_to(request: Received) -> Reply:
    body = _read(request.body)
    model, stream, tools = body.get("model", "gpt-test"), body.get("stream") is True, bool(body.get("tools"))
    path = request.path
    if path.endswith("/chat/completions"):
        usage = (body.get("stream_options") or {}).get("include_usage") is True
        return streamed(chat_frames(model, tools, usage)) if stream else plain(chat(model, tools))
    if path.endswith("/completions"):
        return streamed(completion_frames(model)) if stream else plain(completion(model))
    if path.endswith("/responses"):
        return streamed(response_frames(model, tools)) if stream else plain(response(model, tools))
    if path.endswith("/messages"):
        return streamed(message_frames(model, tools)) if stream else plain(message(model, tools))
    if path.endswith("/converse-stream"):
        return events(converse_events("toolConfig" in body))
    return _unstreamed(path, model, "toolConfig" in body)


def _unstreamed(path: str, model: str, tools: bool) -> Reply:
    """Answer the calls that never stream."""
    bodies: dict[str, object] = {
        "/converse": converse(tools),
        "/count-tokens": {"inputTokens": IN},
        "/messages/count_tokens": {"input_tokens": IN},
        "/embeddings": embeddings(model),
        "/models": {"object": "list", "data": [_model("gpt-test"), _model("text-embedding-test")]},
    }
    found = next((body for end, body in bodies.items() if path.endswith(end)), None)
    return failure(404, "Not Found") if found is None else plain(found)


def _read(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1700000000, "owned_by": "fake"}


def data_frame(value: object) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


def event_frame(value: dict[str, object]) -> bytes:
    return b"event: " + str(value["type"]).encode() + b"\n" + data_frame(value)


# chat and completions


def chat_usage() -> dict[str, object]:
    return {
        "prompt_tokens": IN,
        "completion_tokens": OUT,
        "total_tokens": IN + OUT,
        "prompt_tokens_details": {"cached_tokens": CACHED},
        "completion_tokens_details": {"reasoning_tokens": REASONING},
    }


def chat(model: str, tools: bool = False) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": None if tools else TEXT, "refusal": None}
    if tools:
        message["tool_calls"] = [_chat_call(*call) for call in TOOL_CALLS]
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if tools else "stop"}
        ],
        "usage": chat_usage(),
        "system_fingerprint": "fp_fake",
    }


def _chat_call(identity: str, name: str, arguments: str) -> dict[str, object]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat_frames(model: str, tools: bool = False, usage: bool = False) -> list[bytes]:
    """Interleave the deltas of parallel tool calls, as vendors do."""
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": None if tools else "", "refusal": None}]
    if tools:
        for index, (identity, name, _) in enumerate(TOOL_CALLS):
            deltas.append({"tool_calls": [{"index": index, **_chat_call(identity, name, "")}]})
        for start in range(0, max(len(call[2]) for call in TOOL_CALLS), 6):
            for index, (_, _, arguments) in enumerate(TOOL_CALLS):
                if part := arguments[start : start + 6]:
                    deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    else:
        deltas.extend({"content": piece} for piece in PIECES)
    chunks = [_chat_chunk(model, [{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    chunks.append(_chat_chunk(model, [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if tools else "stop"}]))
    if usage:
        chunks.append(_chat_chunk(model, []) | {"usage": chat_usage()})
    return [*map(data_frame, chunks), b"data: [DONE]\n\n"]


def _chat_chunk(model: str, choices: list[dict[str, object]]) -> dict[str, object]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": model,
        "choices": choices,
    }


def completion(model: str) -> dict[str, object]:
    choice = {"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": IN, "completion_tokens": OUT, "total_tokens": IN + OUT}
    return {
        "id": "cmpl-fake",
        "object": "text_completion",
        "created": 1700000000,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def completion_frames(model: str) -> list[bytes]:
    def chunk(text: str, finish: str | None) -> dict[str, object]:
        return completion(model) | {
            "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}],
            "usage": None,
        }

    frames = [data_frame(chunk(piece, None)) for piece in PIECES]
    return [*frames, data_frame(chunk("", "stop")), b"data: [DONE]\n\n"]


def embeddings(model: str) -> dict[str, object]:
    vector = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 1.0]}
    return {"object": "list", "data": [vector], "model": model, "usage": {"prompt_tokens": IN, "total_tokens": IN}}


# responses


def response(model: str, tools: bool = False, *, status: str = "completed") -> dict[str, object]:
    done = status == "completed"
    usage = {
        "input_tokens": IN,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": OUT,
        "output_tokens_details": {"reasoning_tokens": REASONING},
        "total_tokens": IN + OUT,
    }
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": 1700000000,
        "status": status,
        "model": model,
        "output": _items(tools) if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage if done else None,
    }


def _items(tools: bool) -> list[dict[str, object]]:
    if tools:
        return [
            {
                "id": f"fc_{index}",
                "type": "function_call",
                "status": "completed",
                "call_id": call,
                "name": name,
                "arguments": arguments,
            }
            for index, (call, name, arguments) in enumerate(TOOL_CALLS)
        ]
    part = {"type": "output_text", "text": TEXT, "annotations": []}
    return [{"id": "msg_fake", "type": "message", "role": "assistant", "status": "completed", "content": [part]}]


def response_frames(model: str, tools: bool = False) -> list[bytes]:
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": response(model, status="in_progress")},
        {"type": "response.in_progress", "response": response(model, status="in_progress")},
    ]
    for index, item in enumerate(_items(tools)):
        place: dict[str, object] = {"item_id": item["id"], "output_index": index}
        emptied: dict[str, object] = {"arguments": ""} if tools else {"content": []}
        begun = item | {"status": "in_progress"} | emptied
        events.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        events.extend(_function_events(str(item["arguments"]), place) if tools else _text_events(place))
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": response(model, tools)})
    return [event_frame(event | {"sequence_number": number}) for number, event in enumerate(events)]


def _function_events(arguments: str, place: dict[str, object]) -> list[dict[str, object]]:
    kind = "response.function_call_arguments"
    parts = [arguments[start : start + 9] for start in range(0, len(arguments), 9)]
    deltas: list[dict[str, object]] = [{"type": f"{kind}.delta", "delta": part} | place for part in parts]
    return [*deltas, {"type": f"{kind}.done", "arguments": arguments} | place]


def _text_events(place: dict[str, object]) -> list[dict[str, object]]:
    place = place | {"content_index": 0}
    empty: dict[str, object] = {"type": "output_text", "text": "", "annotations": []}
    full = empty | {"text": TEXT}
    deltas: list[dict[str, object]] = [
        {"type": "response.output_text.delta", "delta": piece, "logprobs": []} | place for piece in PIECES
    ]
    return [
        {"type": "response.content_part.added", "part": empty} | place,
        *deltas,
        {"type": "response.output_text.done", "text": TEXT, "logprobs": []} | place,
        {"type": "response.content_part.done", "part": full} | place,
    ]


# converse


def converse(tools: bool = False) -> dict[str, Any]:
    calls = [
        {"toolUse": {"toolUseId": identity, "name": name, "input": json.loads(arguments)}}
        for identity, name, arguments in TOOL_CALLS
    ]
    content: list[dict[str, Any]] = [{"text": TEXT}, *(calls if tools else ())]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if tools else "end_turn",
        "usage": {
            "inputTokens": IN - CACHED - 16,
            "outputTokens": OUT,
            "totalTokens": IN + OUT,
            "cacheReadInputTokens": CACHED,
            "cacheWriteInputTokens": 16,
        },
        "metrics": {"latencyMs": 871},
    }


def converse_events(tools: bool = False) -> list[dict[str, Any]]:
    """Interleave the deltas of parallel tool calls, as the service model allows."""
    place = {"contentBlockIndex": 0}
    values: list[dict[str, Any]] = [{"messageStart": {"role": "assistant"}}]
    values += [{"contentBlockDelta": {**place, "delta": {"text": piece}, "p": "abc"}} for piece in PIECES]
    values.append({"contentBlockStop": place})
    for index, (identity, name, _) in enumerate(TOOL_CALLS if tools else (), start=1):
        start = {"toolUse": {"toolUseId": identity, "name": name}}
        values.append({"contentBlockStart": {"contentBlockIndex": index, "start": start}})
    for start_at in range(0, max(len(call[2]) for call in TOOL_CALLS), 6):
        for index, (_, _, arguments) in enumerate(TOOL_CALLS if tools else (), start=1):
            if part := arguments[start_at : start_at + 6]:
                delta = {"toolUse": {"input": part}}
                values.append({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}})
    values += [{"contentBlockStop": {"contentBlockIndex": index}} for index in ((1, 2) if tools else ())]
    whole = converse(tools)
    values.append({"messageStop": {"stopReason": whole["stopReason"]}})
    return [*values, {"metadata": {"usage": whole["usage"], "metrics": whole["metrics"]}}]


# messages


def message(model: str, tools: bool = False) -> dict[str, object]:
    content: list[dict[str, object]] = [{"type": "text", "text": TEXT}]
    if tools:
        content += [_tool_use(identity, name, json.loads(arguments)) for identity, name, arguments in TOOL_CALLS]
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "tool_use" if tools else "end_turn",
        "stop_sequence": None,
        "usage": message_usage() | {"output_tokens": OUT},
    }


def message_usage() -> dict[str, object]:
    """Anthropic counts cached input beside `input_tokens`, so the three add up to IN."""
    return {
        "input_tokens": IN - CACHED - 16,
        "cache_creation_input_tokens": 16,
        "cache_read_input_tokens": CACHED,
        "output_tokens": 1,
        "service_tier": "standard",
    }


def _tool_use(identity: str, name: str, given: object) -> dict[str, object]:
    return {"type": "tool_use", "id": identity, "name": name, "input": given}


def message_frames(model: str, tools: bool = False) -> list[bytes]:
    begun = message(model) | {"content": [], "stop_reason": None, "usage": message_usage()}
    events: list[dict[str, object]] = [{"type": "message_start", "message": begun}]
    events += _block(0, {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in PIECES])
    events.insert(2, {"type": "ping"})
    for index, (identity, name, arguments) in enumerate(TOOL_CALLS if tools else (), start=1):
        parts = [arguments[start : start + 7] for start in range(0, len(arguments), 7)]
        deltas: list[dict[str, object]] = [{"type": "input_json_delta", "partial_json": part} for part in parts]
        events += _block(index, _tool_use(identity, name, {}), deltas)
    stop = {"stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": OUT}})
    events.append({"type": "message_stop"})
    return [event_frame(event) for event in events]


def _block(index: int, opened: dict[str, object], deltas: list[dict[str, object]]) -> list[dict[str, object]]:
    grown: list[dict[str, object]] = [
        {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
    ]
    return [
        {"type": "content_block_start", "index": index, "content_block": opened},
        *grown,
        {"type": "content_block_stop", "index": index},
    ]
