"""A stream of message events, encoded from events of the neutral vocabulary.

Usage and stop reason come last, when both are known. Source: docs.anthropic.com/en/api/messages-streaming.
`_write_delta` is on the hot path of translation.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.call_arguments import encode_input
from llmproxy.dialects.messages.error_body import error_type
from llmproxy.dialects.messages.response_encode import (
    call_without_input,
    empty_message,
    encode_answer_block,
    encode_link,
    encode_stop,
)
from llmproxy.dialects.messages.usage import encode_usage
from llmproxy.dialects.model import Text, Thinking, ToolCall
from llmproxy.dialects.ordered_blocks import OrderedBlock, OrderedStreamEncoder
from llmproxy.dialects.stream_encode import encode_string
from llmproxy.dialects.stream_events import Cite, Close, Fail, Start
from llmproxy.wire.json import write_unicode
from llmproxy.wire.sse import write_frame

_AFTER = b"}}\n\n"


class MessagesStreamEncoder(OrderedStreamEncoder):
    """One stream for a client that sent `request`."""

    def _put(self, kind: str, members: dict[str, Any]) -> None:
        self._frames.append(write_frame(write_unicode({"type": kind, **members}), kind))

    def _start(self, event: Start) -> None:
        self._started = True
        message = empty_message(event.id, event.model or self._request.model, event.usage)
        self._put("message_start", {"message": message})

    def _write_delta(self, before: bytes, text: str) -> None:
        self._frames += (before, encode_string(text), _AFTER)

    def _begin_growing(self, block: OrderedBlock) -> bytes:
        match block.block:
            case ToolCall():
                kind = (b"input_json_delta", b"partial_json")
            case Thinking():
                self._put_start(block, {"type": "thinking", "thinking": "", "signature": ""})
                kind = (b"thinking_delta", b"thinking")
            case _:
                self._put_start(block, {"type": "text", "text": ""})
                kind = (b"text_delta", b"text")
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
            % (
                block.number,
                *kind,
            )
        )

    def _put_start(self, block: OrderedBlock, content: dict[str, Any]) -> None:
        self._put("content_block_start", {"index": self._number(block), "content_block": content})

    def _put_delta(self, block: OrderedBlock, delta: dict[str, Any]) -> None:
        self._put("content_block_delta", {"index": block.number, "delta": delta})

    def _begin_call(self, block: OrderedBlock, call: ToolCall) -> None:
        self._put_start(block, call_without_input(call, self._context.losses))

    def _begin_other(self, block: OrderedBlock) -> None:
        content = encode_answer_block(block.block, self._context.losses)
        if content is not None:
            self._put_start(block, content)

    def _write_citation(self, block: OrderedBlock, event: Cite) -> None:
        citation = encode_link(event.citation, self._context.losses)
        if citation is None or not isinstance(block.block, Text):
            return
        if block.number < 0:
            self._begin_text(block, "")
        self._put_delta(block, {"type": "citations_delta", "citation": citation})

    def _write_arguments(self, block: OrderedBlock, call: ToolCall, arguments: str) -> None:
        value = encode_input(call, arguments, self._context.losses)
        self._put_delta(block, {"type": "input_json_delta", "partial_json": write_unicode(value).decode()})

    def _end_block(self, block: OrderedBlock) -> None:
        self._put("content_block_stop", {"index": block.number})

    def _finish_thinking(self, block: OrderedBlock, thinking: Thinking, event: Close) -> None:
        own = thinking.dialect == "messages"
        signature = ((event.signature or thinking.signature) if own else thinking.field) or ""
        if block.number < 0:
            encrypted = event.encrypted or thinking.encrypted
            whole = msgspec.structs.replace(thinking, signature=signature, encrypted=encrypted)
            content = encode_answer_block(whole, self._context.losses)
            if content is None:
                return
            self._put_start(block, {**content, "signature": ""} if signature else content)
        if signature:
            self._put_delta(block, {"type": "signature_delta", "signature": signature})

    def _end(self) -> None:
        if not self._started:
            self._start(Start(id="", model=""))
        self._close_all()
        stop = self._last_stop
        self.finish_reason = encode_stop(stop.reason, called=self._called)
        delta = {"stop_reason": self.finish_reason, "stop_sequence": stop.sequence}
        self._put("message_delta", {"delta": delta, "usage": encode_usage(self._usage)})
        self._put("message_stop", {})

    def _fail(self, event: Fail) -> None:
        self._put("error", {"error": {"type": error_type(event.status), "message": event.message}})
