"""Whole chat completions, encoded from the neutral vocabulary, and what the encoder of streams shares with that.

Source: the SDK's `chat_completion` types; `reasoning_content` is the extension in which many services show thinking.
Begin reading at `encode_response`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.chat.request_messages import call_object
from llmproxy.dialects.chat.tables import FINISH_REASONS, LEGACY, THINKING
from llmproxy.dialects.chat.usage import encode_usage
from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.lenient_json import string
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
from llmproxy.dialects.request_fields import TIERS, put_tier
from llmproxy.dialects.response_fields import bare_id, drop_stop_details, kind_of

_INSTEAD_OF_TEXT = ("tool_calls", "function_call", "audio")


def encode_response(reply: Reply, request: Request, context: EncodeContext) -> dict[str, Any]:
    """Return the whole answer for a client that sent `request`."""
    legacy = LEGACY in request.echo
    message = _Message(legacy=legacy, losses=context.losses)
    for block in reply.content:
        message.add(block)
    choice: dict[str, Any] = {
        "index": 0,
        "message": message.encode(),
        "logprobs": message.logprobs,
        "finish_reason": encode_stop(reply.stop, refused=message.body["refusal"] is not None, legacy=legacy),
    }
    drop_stop_details(context.losses, reply.stop, reply.stop_sequence)
    body = encode_head(reply.id, "chat.completion", reply.created_s, reply.model or request.model)
    body["choices"] = [choice]
    usage = encode_usage(reply.usage)
    if usage is not None:
        body["usage"] = usage
    if reply.service_tier is not None:
        put_tier(body, reply.service_tier, TIERS, "reply.service_tier", context)
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
    """The message of an answer, built block by block in `body`."""

    __slots__ = ("_legacy", "_losses", "body", "logprobs")

    def __init__(self, *, legacy: bool, losses: Losses) -> None:
        self.body: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        self.logprobs: dict[str, Any] | None = None
        self._legacy = legacy
        self._losses = losses

    def add(self, block: Block) -> None:
        """Add the next block, or list it as dropped."""
        body = self.body
        match block:
            case Text():
                self._add_text(block)
            case Thinking(text=""):
                self._losses.drop("reply.thinking")
            case Thinking():
                before = body.get(THINKING[0])
                body[THINKING[0]] = block.text if before is None else f"{before}\n\n{block.text}"
            case Refusal():
                body["refusal"] = (body["refusal"] or "") + block.text
                self._add_logprobs("refusal", block.extra.get("logprobs"))
            case ToolCall():
                self._add_call(block)
            case Opaque(dialect="chat", kind="audio"):
                body["audio"] = block.value
            case _:
                self._losses.drop(f"reply.{kind_of(block)}")

    def _add_call(self, call: ToolCall) -> None:
        body = self.body
        if not self._legacy:
            body.setdefault("tool_calls", []).append(call_object(call, call.arguments))
        elif "function_call" in body:
            self._losses.drop("reply.tool_call")
            return
        else:
            body["function_call"] = {"name": call.name, "arguments": call.arguments}
        self._losses.drop_extra(call)

    def _add_text(self, block: Text) -> None:
        before, text = self.body["content"] or "", block.text
        self.body["content"] = before + text
        for each in block.annotations:
            annotation = encode_citation(each, len(before), len(text), self._losses)
            if annotation is not None:
                self.body.setdefault("annotations", []).append(annotation)
        self._losses.drop_extra(block)
        self._add_logprobs("content", block.logprobs)

    def _add_logprobs(self, name: str, logprobs: list[Any] | None) -> None:
        if logprobs:
            self.logprobs = self.logprobs or {"content": None, "refusal": None}
            self.logprobs[name] = [*(self.logprobs[name] or ()), *logprobs]

    def encode(self) -> dict[str, Any]:
        """Return the message. Its content is null beside what stands in for a text, and empty without anything."""
        body = self.body
        if body["content"] is None and body["refusal"] is None and body.keys().isdisjoint(_INSTEAD_OF_TEXT):
            body["content"] = ""
        return body


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
    return string(response["choices"][0]["finish_reason"])
