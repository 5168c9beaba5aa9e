"""Whole chat completions, encoded from the neutral vocabulary, and what the encoder of streams shares with that.

Source: the SDK's `chat_completion` types; `reasoning_content` is the extension in which many services show thinking.
Begin reading at `encode_response`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.chat.request_messages import call_object
from llmproxy.dialects.chat.tables import FINISH_REASONS, LEGACY
from llmproxy.dialects.chat.usage import encode_usage
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.model import (
    Block,
    Citation,
    Opaque,
    Refusal,
    Reply,
    Request,
    StopReason,
    Text,
    Thinking,
    ToolCall,
)
from llmproxy.dialects.request_fields import encode_tier
from llmproxy.dialects.response_fields import bare_id, drop_stop_details, kind_of


def encode_response(reply: Reply, request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the whole answer for a client that sent `request`."""
    legacy = LEGACY in request.echo
    message = _Message(legacy=legacy, losses=context.losses)
    for block in reply.content:
        message.add(block)
    choice: dict[str, Any] = {
        "index": 0,
        "message": message.encode(),
        "logprobs": message.logprobs(),
        "finish_reason": encode_stop(reply.stop, refused=message.refused, legacy=legacy),
    }
    drop_stop_details(context.losses, reply.stop, reply.stop_sequence)
    body = encode_head(reply.id, "chat.completion", reply.created_s, reply.model or request.model)
    body["choices"] = [choice]
    usage = encode_usage(reply.usage)
    if usage is not None:
        body["usage"] = usage
    if reply.service_tier is not None:
        tier = encode_tier(reply.service_tier)
        if tier is None:
            context.drop("reply.service_tier")
        else:
            body["service_tier"] = tier
    _put_extra(body, reply, context)
    return body


def encode_head(reply_id: str, kind: str, created_s: int | None, model: str) -> dict[str, Any]:
    """Return the members with which an answer and each of its chunks begin."""
    created = int(time.time()) if created_s is None else created_s
    return {"id": f"chatcmpl-{bare_id(reply_id)}", "object": kind, "created": created, "model": model}


def encode_stop(stop: StopReason, *, refused: bool, legacy: bool) -> str:
    """Return the `finish_reason`. A refusal in words is an end like others; one without words comes from a
    filter."""
    if stop == "refusal" and refused:
        return "stop"
    return "function_call" if legacy and stop == "tool_calls" else FINISH_REASONS[stop]


def encode_citation(citation: Citation, offset: int, length: int, losses: Losses) -> dict[str, Any] | None:
    """Return one of `annotations`, which are links alone. A citation without a position cites with its whole text,
    which begins at `offset` of the message and has `length` characters."""
    if citation.url is None:
        losses.drop("reply.citation")
        return None
    start = offset if citation.start is None else offset + citation.start
    end = offset + length if citation.end is None else offset + citation.end
    link = {"url": citation.url, "title": citation.title or "", "start_index": start, "end_index": end}
    if citation.quote is not None:
        losses.drop("reply.citation.quote")
    return {"type": "url_citation", "url_citation": link}


class _Message:
    """The message of an answer, built block by block."""

    def __init__(self, *, legacy: bool, losses: Losses) -> None:
        self.refused = False
        self._legacy = legacy
        self._losses = losses
        self._texts: list[str] = []
        self._length = 0
        self._refusals: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[ToolCall] = []
        self._annotations: list[dict[str, Any]] = []
        self._text_logprobs: list[Any] = []
        self._refusal_logprobs: list[Any] = []
        self._audio: dict[str, Any] | None = None

    def add(self, block: Block) -> None:
        """Add the next block, or list it as dropped."""
        match block:
            case Text():
                self._add_text(block)
            case Thinking(text=""):
                self._losses.drop("reply.thinking")
            case Thinking():
                self._thinking.append(block.text)
            case Refusal():
                self.refused = True
                self._refusals.append(block.text)
                self._refusal_logprobs += block.extra.get("logprobs", [])
            case ToolCall():
                self._add_call(block)
            case Opaque(dialect="chat", kind="audio"):
                self._audio = block.value
            case _:
                self._losses.drop(f"reply.{kind_of(block)}")

    def _add_call(self, call: ToolCall) -> None:
        if self._legacy and self._calls:
            self._losses.drop("reply.tool_call")
            return
        self._losses.drop_extra(call)
        self._calls.append(call)

    def _add_text(self, block: Text) -> None:
        for each in block.annotations:
            annotation = encode_citation(each, self._length, len(block.text), self._losses)
            if annotation is not None:
                self._annotations.append(annotation)
        self._losses.drop_extra(block)
        self._texts.append(block.text)
        self._length += len(block.text)
        self._text_logprobs += block.logprobs or []

    def logprobs(self) -> dict[str, Any] | None:
        """Return the choice's `logprobs`."""
        if not self._text_logprobs and not self._refusal_logprobs:
            return None
        return {"content": self._text_logprobs or None, "refusal": self._refusal_logprobs or None}

    def encode(self) -> dict[str, Any]:
        """Return the message."""
        silent = not self._texts and (self._calls or self._refusals or self._audio)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if silent else "".join(self._texts),
            "refusal": "".join(self._refusals) if self.refused else None,
        }
        if self._thinking:
            message["reasoning_content"] = "\n\n".join(self._thinking)
        if self._annotations:
            message["annotations"] = self._annotations
        if self._audio is not None:
            message["audio"] = self._audio
        if self._calls and self._legacy:
            message["function_call"] = {"name": self._calls[0].name, "arguments": self._calls[0].arguments}
        elif self._calls:
            message["tool_calls"] = [call_object(call, call.arguments) for call in self._calls]
        return message


def _put_extra(body: dict[str, Any], reply: Reply, context: EncodeContext) -> None:
    """Put back what only chat understands: members of the reply and of its message, and further choices."""
    if not context.own:
        context.losses.drop_extra(reply)
        return
    for name, value in reply.extra.items():
        if name.startswith("message."):
            body["choices"][0]["message"][name.removeprefix("message.")] = value
        elif name.startswith("choices["):
            body["choices"].append(value)
        else:
            body[name] = value


def finish_reason_of(response: Mapping[str, Any]) -> str | None:
    """Return the `finish_reason` of a whole answer."""
    reason = response["choices"][0]["finish_reason"]
    return reason if isinstance(reason, str) else None
