"""Writing whole chat completions from the neutral vocabulary, and what the writer of streams shares with that.

Source: the SDK's `chat_completion` types; `reasoning_content` is the extension in which many services show thinking.
Begin reading at `encode_response`.
"""

from __future__ import annotations

import time
from typing import Any

from llmproxy.dialects.chat.request_decode import LEGACY
from llmproxy.dialects.chat.request_encode import TIERS
from llmproxy.dialects.chat.usage import encode_usage
from llmproxy.dialects.codec import Losses
from llmproxy.dialects.model import (
    Block,
    Citation,
    Media,
    Opaque,
    Refusal,
    Reply,
    Request,
    StopReason,
    Text,
    Thinking,
    ToolCall,
)

FINISHES: dict[StopReason, str] = {
    "end": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "stop_sequence": "stop",
    "refusal": "content_filter",
    "content_filter": "content_filter",
    "pause": "stop",
    "context_window": "length",
}

_TIERS = {"standard": "default"}


def encode_response(reply: Reply, request: Request, losses: Losses) -> dict[str, Any]:
    """The whole answer for a client that sent `request`."""
    legacy = LEGACY in request.echo
    message = _Message(legacy=legacy, losses=losses)
    for block in reply.content:
        message.add(block)
    choice: dict[str, Any] = {
        "index": 0,
        "message": message.written(),
        "logprobs": message.logprobs(),
        "finish_reason": finish_of(reply.stop, refused=message.refused, legacy=legacy),
    }
    note_stop(reply.stop, reply.stop_sequence, losses)
    written: dict[str, Any] = {
        "id": write_reply_id(reply.id),
        "object": "chat.completion",
        "created": int(time.time()) if reply.created_s is None else reply.created_s,
        "model": reply.model or request.model,
        "choices": [choice],
    }
    usage = encode_usage(reply.usage)
    if usage is not None:
        written["usage"] = usage
    _put_tier(written, reply, losses)
    _put_extra(written, reply, losses)
    return written


def write_reply_id(given: str) -> str:
    """A reply's id as chat has it."""
    bare = given.removeprefix("chatcmpl-").removeprefix("msg_").removeprefix("resp_")
    return f"chatcmpl-{bare}"


def finish_of(stop: StopReason, *, refused: bool, legacy: bool) -> str:
    """The `finish_reason`. A refusal in words is an end like others; without words it is a filter's doing."""
    if stop == "refusal" and refused:
        return "stop"
    return "function_call" if legacy and stop == "tool_calls" else FINISHES[stop]


def note_stop(stop: StopReason, sequence: str | None, losses: Losses) -> None:
    """List what `finish_reason` cannot say."""
    if sequence is not None:
        losses.drop("reply.stop_sequence")
    if stop == "pause":
        losses.drop("reply.stop.pause")


def write_call(call: ToolCall, arguments: str) -> dict[str, Any]:
    """One of `tool_calls`."""
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def write_citation(citation: Citation, offset: int, length: int, losses: Losses) -> dict[str, Any] | None:
    """One of `annotations`, which are links alone. What cites without saying where cites with its whole text, which
    begins at `offset` of the message and has `length` characters."""
    if citation.url is None:
        losses.drop("reply.citation")
        return None
    start = offset if citation.start is None else offset + citation.start
    end = offset + length if citation.end is None else offset + citation.end
    link = {"url": citation.url, "title": citation.title or "", "start_index": start, "end_index": end}
    if citation.quote is not None:
        losses.drop("reply.citation.quote")
    return {"type": "url_citation", "url_citation": link}


def kind_of(block: Block) -> str:
    """What a block that chat has no place for is called in the list of losses."""
    match block:
        case Opaque() | Media():
            return block.kind
        case _:
            return type(block).__name__.lower()


class _Message:
    """The message as its blocks come."""

    def __init__(self, *, legacy: bool, losses: Losses) -> None:
        self.refused = False
        self._legacy = legacy
        self._losses = losses
        self._texts: list[str] = []
        self._length = 0
        self._refusals: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._likely: list[Any] = []
        self._refused_likely: list[Any] = []
        self._audio: dict[str, Any] | None = None

    def add(self, block: Block) -> None:
        """The next block."""
        if isinstance(block, Text):
            self._add_text(block)
            return
        match block:
            case Thinking(text=""):
                self._losses.drop("reply.thinking")
            case Thinking():
                self._thoughts.append(block.text)
            case Refusal():
                self.refused = True
                self._refusals.append(block.text)
                self._refused_likely += block.extra.get("logprobs", [])
            case ToolCall() if self._legacy and self._calls:
                self._losses.drop("reply.tool_call")
            case ToolCall():
                self._losses.drop_extra(block)
                self._calls.append(write_call(block, block.arguments))
            case _:
                self._add_other(block)

    def _add_other(self, block: Block) -> None:
        if isinstance(block, Opaque) and block.dialect == "chat" and block.kind == "audio":
            self._audio = block.value
        else:
            self._losses.drop(f"reply.{kind_of(block)}")

    def _add_text(self, block: Text) -> None:
        for each in block.annotations:
            annotation = write_citation(each, self._length, len(block.text), self._losses)
            if annotation is not None:
                self._annotations.append(annotation)
        self._losses.drop_extra(block)
        self._texts.append(block.text)
        self._length += len(block.text)
        self._likely += block.logprobs or []

    def logprobs(self) -> dict[str, Any] | None:
        """The choice's `logprobs`."""
        if not self._likely and not self._refused_likely:
            return None
        return {"content": self._likely or None, "refusal": self._refused_likely or None}

    def written(self) -> dict[str, Any]:
        """The message."""
        silent = not self._texts and (self._calls or self._refusals or self._audio)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if silent else "".join(self._texts),
            "refusal": "".join(self._refusals) if self.refused else None,
        }
        if self._thoughts:
            message["reasoning_content"] = "\n\n".join(self._thoughts)
        if self._annotations:
            message["annotations"] = self._annotations
        if self._audio is not None:
            message["audio"] = self._audio
        if self._calls and self._legacy:
            call = self._calls[0]
            message["function_call"] = call.get("function") or {
                "name": call["custom"]["name"],
                "arguments": call["custom"]["input"],
            }
        elif self._calls:
            message["tool_calls"] = self._calls
        return message


def _put_tier(written: dict[str, Any], reply: Reply, losses: Losses) -> None:
    if reply.service_tier is None:
        return
    tier = _TIERS.get(reply.service_tier, reply.service_tier)
    if tier in TIERS:
        written["service_tier"] = tier
    else:
        losses.drop("reply.service_tier")


def _put_extra(written: dict[str, Any], reply: Reply, losses: Losses) -> None:
    """Put back what only chat understands: members of the reply and of its message, and further choices."""
    if reply.dialect != "chat":
        losses.drop_extra(reply)
        return
    for name, value in reply.extra.items():
        if name.startswith("message."):
            written["choices"][0]["message"][name.removeprefix("message.")] = value
        elif name.startswith("choices["):
            written["choices"].append(value)
        else:
            written[name] = value
