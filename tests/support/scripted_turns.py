"""Answers of a model in words of no vendor, and their form in each vendor's dialect, plain and streamed.

A `SpokenTurn` thinks, says something and calls tools. Begin at `render`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support import vendors
from tests.support.provider import Reply

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenCall:
    """A call of a tool: `freeform` input is text, the other's an object. `kind` is the tool's, for responses."""

    id: str
    name: str
    input: Json | str
    kind: str = "function"
    namespace: str | None = None

    @property
    def arguments(self) -> str:
        return self.input if isinstance(self.input, str) else json.dumps(self.input)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenTurn:
    """An answer. `signature` marks the thinking; without one the model does not think. `redacted` is thinking that
    nobody may read. `input_tokens` is the vendor's count of the request, None for the usual one. `stop` is `length`
    where the limit cut the answer short."""

    text: str = ""
    thinking: str = ""
    signature: str = ""
    calls: tuple[SpokenCall, ...] = field(default=())
    input_tokens: int | None = None
    stop: str = ""
    redacted: str = ""


# Why an answer without calls ended, in the words of each vendor.
_STOPS = {
    "chat": {"": "stop", "length": "length"},
    "messages": {"": "end_turn", "length": "max_tokens"},
    "responses": {"": "completed", "length": "incomplete"},
}


def render(dialect: str, model: str, turn: SpokenTurn, *, stream: bool, usage: bool = True) -> Reply:
    """Return the turn as the vendor of `dialect` answers it."""
    if dialect == "messages":
        reply = vendors.streamed(message_frames(model, turn)) if stream else vendors.plain(message(model, turn))
    elif dialect == "converse":
        reply = vendors.events(converse_events(turn)) if stream else vendors.plain(converse(turn))
    elif dialect == "responses":
        reply = vendors.streamed(response_frames(model, turn)) if stream else vendors.plain(response(model, turn))
    else:
        reply = vendors.streamed(chat_frames(model, turn, usage)) if stream else vendors.plain(chat(model, turn))
    return reply if turn.input_tokens is None else _counted(reply, turn.input_tokens)


def _counted(reply: Reply, tokens: int) -> Reply:
    """Return the answer with another number of input tokens in its usage."""

    def more(match: re.Match[bytes]) -> bytes:
        added = tokens if match[2] != b"total" else tokens + vendors.OUT
        return match[1] + str(added).encode()

    pattern = re.compile(rb'("(input|prompt|total)_tokens": ?)\d+')
    return replace(reply, pieces=[pattern.sub(more, piece) for piece in reply.pieces if isinstance(piece, bytes)])


def _mark(turn: SpokenTurn) -> str:
    """Return a part of ids that only this turn has: agents put answers of one id together."""
    return hashlib.sha256(repr(turn).encode()).hexdigest()[:20]


def _pieces(text: str, size: int = 11) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


# messages


def blocks(turn: SpokenTurn) -> list[Json]:
    """Return the content blocks of the turn: thinking, text, calls."""
    result: list[Json] = []
    if turn.signature:
        result.append({"type": "thinking", "thinking": turn.thinking, "signature": turn.signature})
    if turn.signature and turn.redacted:
        result.append({"type": "redacted_thinking", "data": turn.redacted})
    if turn.text:
        result.append({"type": "text", "text": turn.text})
    for call in turn.calls:
        result.append({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input})
    return result


def message(model: str, turn: SpokenTurn) -> Json:
    stop = "tool_use" if turn.calls else _STOPS["messages"][turn.stop]
    whole = vendors.message(model) | {"id": f"msg_{_mark(turn)}", "content": blocks(turn), "stop_reason": stop}
    return whole | {"usage": vendors.message_usage() | _message_output(turn)}


def _message_output(turn: SpokenTurn) -> Json:
    """Return the counts that come last; those of thinking only where the model thought."""
    thought = {"output_tokens_details": {"thinking_tokens": vendors.REASONING}} if turn.signature else {}
    return {"output_tokens": vendors.OUT, **thought}


def message_frames(model: str, turn: SpokenTurn) -> list[bytes]:
    begun = message(model, turn) | {"content": [], "stop_reason": None, "usage": vendors.message_usage()}
    events: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(blocks(turn)):
        opened, deltas = _opened(block)
        events.append({"type": "content_block_start", "index": index, "content_block": opened})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": message(model, turn)["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": _message_output(turn)})
    return [vendors.event_frame(event) for event in [*events, {"type": "message_stop"}]]


def _opened(block: Json) -> tuple[Json, list[Json]]:
    """Return the block as a stream opens it, and the deltas that fill it."""
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        return block | {"thinking": "", "signature": ""}, [
            *deltas,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if block["type"] == "text":
        return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    if block["type"] == "redacted_thinking":
        return block, []
    parts = _pieces(json.dumps(block["input"]))
    return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]


# converse


def converse_blocks(turn: SpokenTurn) -> list[Json]:
    """Return the content blocks of the turn: thinking, text, calls."""
    result: list[Json] = []
    if turn.signature:
        text = {"text": turn.thinking, "signature": turn.signature}
        result.append({"reasoningContent": {"reasoningText": text}})
    if turn.signature and turn.redacted:
        result.append({"reasoningContent": {"redactedContent": turn.redacted}})
    if turn.text:
        result.append({"text": turn.text})
    for call in turn.calls:
        result.append({"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.input}})
    return result


def converse(turn: SpokenTurn) -> Json:
    return vendors.converse() | {
        "output": {"message": {"role": "assistant", "content": converse_blocks(turn)}},
        "stopReason": "tool_use" if turn.calls else _STOPS["messages"][turn.stop],
    }


def converse_events(turn: SpokenTurn) -> list[Json]:
    events: list[Json] = [{"messageStart": {"role": "assistant"}}]
    for index, block in enumerate(converse_blocks(turn)):
        place = {"contentBlockIndex": index}
        [(kind, value)] = block.items()
        if kind == "toolUse":
            start = {name: value[name] for name in ("toolUseId", "name")}
            events.append({"contentBlockStart": place | {"start": {"toolUse": start}}})
            deltas: list[Json] = [{"toolUse": {"input": piece}} for piece in _pieces(json.dumps(value["input"]))]
        elif kind == "text":
            deltas = [{"text": piece} for piece in _pieces(value)]
        elif "redactedContent" in value:
            deltas = [{"reasoningContent": value}]
        else:
            inner = value["reasoningText"]
            deltas = [{"reasoningContent": {"text": piece}} for piece in _pieces(inner["text"])]
            deltas.append({"reasoningContent": {"signature": inner["signature"]}})
        events += [{"contentBlockDelta": place | {"delta": delta, "p": "abcdefgh"}} for delta in deltas]
        events.append({"contentBlockStop": place})
    events.append({"messageStop": {"stopReason": converse(turn)["stopReason"]}})
    return [*events, {"metadata": {"usage": vendors.converse()["usage"], "metrics": {"latencyMs": 5}}}]


# responses


def items(turn: SpokenTurn) -> list[Json]:
    """Return the output items of the turn: reasoning, a message, calls."""
    result: list[Json] = []
    if turn.signature:
        summary = [{"type": "summary_text", "text": turn.thinking}] if turn.thinking else []
        reasoning = {"type": "reasoning", "id": reasoning_id(turn), "summary": summary}
        result.append(reasoning | {"encrypted_content": turn.signature})
    if turn.text:
        part = {"type": "output_text", "text": turn.text, "annotations": []}
        done = {"type": "message", "id": f"msg_{_mark(turn)}", "role": "assistant"}
        result.append(done | {"status": _STOPS["responses"][turn.stop], "content": [part]})
    return result + [_call_item(call) for call in turn.calls]


def reasoning_id(turn: SpokenTurn) -> str:
    return f"rs_{turn.signature[-24:]}"


def _call_item(call: SpokenCall) -> Json:
    common = {"status": "completed", "call_id": call.id} | ({"namespace": call.namespace} if call.namespace else {})
    if call.kind == "custom":
        named = {"type": "custom_tool_call", "id": f"ctc_{call.id}", "name": call.name}
        return named | common | {"input": call.arguments}
    if call.kind == "tool_search":
        search = {"type": "tool_search_call", "id": f"tsc_{call.id}", "execution": "client"}
        return search | common | {"arguments": call.input}
    named = {"type": "function_call", "id": f"fc_{call.id}", "name": call.name}
    return named | common | {"arguments": call.arguments}


def response(model: str, turn: SpokenTurn) -> Json:
    status = _STOPS["responses"][turn.stop]
    cut = {"incomplete_details": {"reason": "max_output_tokens"}} if turn.stop else {}
    return vendors.response(model) | {"id": f"resp_{_mark(turn)}", "output": items(turn), "status": status, **cut}


def response_frames(model: str, turn: SpokenTurn) -> list[bytes]:
    begun = vendors.response(model, status="in_progress") | {"id": f"resp_{_mark(turn)}"}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(items(turn)):
        lists: Json = {name: [] for name in ("summary", "content") if name in item}
        texts: Json = {name: "" for name in ("arguments", "input") if isinstance(item.get(name), str)}
        opened = item | {"status": "in_progress"} | lists | texts
        events.append({"type": "response.output_item.added", "output_index": index, "item": opened})
        events += [event | {"item_id": item["id"], "output_index": index} for event in _growth(item)]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": f"response.{_STOPS['responses'][turn.stop]}", "response": response(model, turn)})
    return [vendors.event_frame(event | {"sequence_number": number}) for number, event in enumerate(events)]


def _growth(item: Json) -> list[Json]:
    """Return the events between the beginning and the end of an item."""
    if item["type"] == "reasoning":
        return [event for part in item["summary"] for event in _summary_growth(part["text"])]
    if item["type"] == "message":
        text, place = item["content"][0]["text"], {"content_index": 0}
        part = item["content"][0]
        return [
            {"type": "response.content_part.added", "part": part | {"text": ""}} | place,
            *(
                {"type": "response.output_text.delta", "delta": piece, "logprobs": []} | place
                for piece in _pieces(text)
            ),
            {"type": "response.output_text.done", "text": text, "logprobs": []} | place,
            {"type": "response.content_part.done", "part": part} | place,
        ]
    name, kind = ("input", "custom_tool_call_input")
    if item["type"] == "function_call":
        name, kind = ("arguments", "function_call_arguments")
    if not isinstance(item.get(name), str):
        return []
    deltas = [{"type": f"response.{kind}.delta", "delta": piece} for piece in _pieces(item[name])]
    return [*deltas, {"type": f"response.{kind}.done", name: item[name]}]


def _summary_growth(text: str) -> list[Json]:
    place, part = {"summary_index": 0}, {"type": "summary_text", "text": text}
    return [
        {"type": "response.reasoning_summary_part.added", "part": part | {"text": ""}} | place,
        *({"type": "response.reasoning_summary_text.delta", "delta": piece} | place for piece in _pieces(text)),
        {"type": "response.reasoning_summary_text.done", "text": text} | place,
        {"type": "response.reasoning_summary_part.done", "part": part} | place,
    ]


# chat


def chat(model: str, turn: SpokenTurn) -> Json:
    said: Json = {"role": "assistant", "content": turn.text or None}
    if turn.thinking:
        said["reasoning_content"] = turn.thinking
    if turn.calls:
        said["tool_calls"] = [_chat_call(call) for call in turn.calls]
    finish = "tool_calls" if turn.calls else _STOPS["chat"][turn.stop]
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return vendors.chat(model) | {"id": f"chatcmpl-{_mark(turn)}", "choices": [choice]}


def _chat_call(call: SpokenCall) -> Json:
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def chat_frames(model: str, turn: SpokenTurn, usage: bool) -> list[bytes]:
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in _pieces(turn.thinking)]
    deltas += [{"content": piece} for piece in _pieces(turn.text)]
    for index, call in enumerate(turn.calls):
        whole = _chat_call(call)
        name, member = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
        first = whole | {"index": index, name: whole[name] | {member: ""}}
        deltas.append({"tool_calls": [first]})
        deltas += [{"tool_calls": [{"index": index, name: {member: piece}}]} for piece in _pieces(call.arguments)]
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": chat(model, turn)["choices"][0]["finish_reason"]})
    common = {"object": "chat.completion.chunk", "created": 1700000000, "model": model}
    common["id"] = f"chatcmpl-{_mark(turn)}"
    chunks = [common | {"choices": [choice]} for choice in choices]
    if usage:
        chunks.append(common | {"choices": [], "usage": vendors.chat_usage()})
    return [*map(vendors.data_frame, chunks), b"data: [DONE]\n\n"]
