"""Messages in the other form.

Source: docs.claude.com/en/docs/build-with-claude/streaming (event types, and what each adds to the message).
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.lenient_json import objects
from llmproxy.dialects.reshape import JsonObject, Reshape, events_in, read_object, typed_frames
from llmproxy.wire.json import read_value, write_value

# The member of a block that each type of delta appends to.
_APPENDED = {"text_delta": "text", "thinking_delta": "thinking"}
_ENDING = ("stop_reason", "stop_sequence", "stop_details", "container", "context_management")
# What `usage` holds in the first event only.
_AT_START = frozenset({"cache_creation", "service_tier", "inference_geo"})
_INPUTS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})


class MessagesReshape(Reshape):
    """`POST /messages`."""

    def says_something(self, reply: bytes) -> bool:
        blocks = objects((read_object(reply) or {}).get("content"))
        return any(block.get("type") != "text" or block.get("text") for block in blocks)

    def _to_stream(self, reply: JsonObject, usage: bool) -> bytes | None:
        if not isinstance(reply.get("content"), list):
            return None
        ending = {name: reply[name] for name in _ENDING if name in reply}
        begun = {**reply, "content": [], **dict.fromkeys(ending)}
        events: list[JsonObject] = [{"type": "message_start", "message": begun}]
        for index, block in enumerate(objects(reply["content"])):
            start, deltas = _split_block(block)
            events.append({"type": "content_block_start", "index": index, "content_block": start})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        counted = {name: each for name, each in (reply.get("usage") or {}).items() if name not in _AT_START}
        events.append({"type": "message_delta", "delta": ending, "usage": counted})
        return typed_frames([*events, {"type": "message_stop"}])

    def _to_reply(self, stream: bytes) -> bytes | None:
        message = _Message()
        for event in events_in(stream):
            if message.add(event):
                return write_value({**message.members, "content": [_whole(each) for each in message.blocks.values()]})
        return None


class _Message:
    """A message that grows with the events of a stream."""

    def __init__(self) -> None:
        self.members: JsonObject = {}
        self.blocks: dict[object, JsonObject] = {}

    def add(self, event: JsonObject) -> bool:
        """Return whether `event` was the last. Raises one of MALFORMED for an unknown one."""
        match event.get("type"):
            case "message_start":
                self.members = event["message"]
            case "content_block_start":
                self.blocks[event["index"]] = event["content_block"]
            case "content_block_delta":
                _add(self.blocks[event["index"]], event["delta"])
            case "message_delta":
                counted = {name: each for name, each in (event.get("usage") or {}).items() if each is not None}
                self.members |= event["delta"]
                self.members["usage"] = (self.members.get("usage") or {}) | counted
            case "message_stop":
                return True
            case "ping" | "content_block_stop":
                pass
            case other:
                raise ValueError(f"an event of type {other!r}")
        return False


def _split_block(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """Return a block as it begins, and the deltas that complete it."""
    kind = block.get("type")
    if kind == "text":
        cited = [{"type": "citations_delta", "citation": each} for each in block.get("citations") or []]
        start = {**block, "text": "", **({"citations": []} if cited else {})}
        return start, [*cited, *_delta("text_delta", "text", block)]
    if kind == "thinking":
        start = {**block, "thinking": "", **({"signature": ""} if "signature" in block else {})}
        return start, [*_delta("thinking_delta", "thinking", block), *_delta("signature_delta", "signature", block)]
    if kind in _INPUTS:
        arguments = write_value(block.get("input")).decode()
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": arguments}]
    return block, []


def _delta(kind: str, name: str, block: JsonObject) -> list[JsonObject]:
    return [{"type": kind, name: block[name]}] if block.get(name) else []


def _add(block: JsonObject, delta: JsonObject) -> None:
    """Apply one delta. Raises ValueError for an unknown one."""
    kind = delta["type"]
    if kind in _APPENDED:
        block[_APPENDED[kind]] = block.get(_APPENDED[kind], "") + delta[_APPENDED[kind]]
    elif kind == "input_json_delta":
        block["~input"] = block.get("~input", "") + delta["partial_json"]
    elif kind == "signature_delta":
        block["signature"] = delta["signature"]
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    else:
        raise ValueError(f"a delta of type {kind!r}")


def _whole(block: JsonObject) -> JsonObject:
    arguments: Any = block.pop("~input", "")
    if arguments:
        value = read_value(arguments.encode())
        if value is None:
            raise ValueError("arguments that are not JSON")
        block["input"] = value
    return block


RESHAPE = MessagesReshape()
