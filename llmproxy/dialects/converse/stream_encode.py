"""A stream of ConverseStream, encoded from events of the neutral vocabulary.

Texts and thinking begin without an event of their own, as the vendor's do. Source: the shape `ConverseStreamOutput`.
`_write_delta` is on the hot path of translation.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.aws_exceptions import error_frame
from llmproxy.dialects.call_arguments import encode_input
from llmproxy.dialects.converse.citations import encode_link
from llmproxy.dialects.converse.content import is_blob
from llmproxy.dialects.converse.response_encode import (
    METRICS,
    call_without_input,
    encode_answer_block,
    encode_stop,
    more_fields,
    signed,
)
from llmproxy.dialects.converse.tables import SEAL
from llmproxy.dialects.converse.usage import encode_usage
from llmproxy.dialects.model import Text, Thinking, ToolCall
from llmproxy.dialects.ordered_blocks import OrderedBlock, OrderedStreamEncoder
from llmproxy.dialects.stream_encode import encode_string
from llmproxy.dialects.stream_events import Cite, Close, Fail, Start
from llmproxy.wire.eventstream import write_message
from llmproxy.wire.json import write_value

_DELTA = "contentBlockDelta"


class ConverseStreamEncoder(OrderedStreamEncoder):
    """One stream for a client that sent `request`."""

    def _put(self, event: str, members: dict[str, Any]) -> None:
        self._frames.append(write_message(event, write_value(members)))

    def _start(self, event: Start) -> None:
        self._started = True
        self._put("messageStart", {"role": "assistant"})

    def _write_delta(self, before: bytes, text: str) -> None:
        payload = before + encode_string(text) + b"}" * before.count(b"{")
        self._frames.append(write_message(_DELTA, payload))

    def _begin_growing(self, block: OrderedBlock) -> bytes:
        if block.number < 0:
            self._number(block)
        match block.block:
            case ToolCall():
                member = b'{"toolUse":{"input":'
            case Thinking():
                member = b'{"reasoningContent":{"text":'
            case _:
                member = b'{"text":'
        return b'{"contentBlockIndex":%d,"delta":%b' % (block.number, member)

    def _put_start(self, block: OrderedBlock, start: dict[str, Any]) -> None:
        self._put("contentBlockStart", {"contentBlockIndex": self._number(block), "start": start})

    def _put_delta(self, block: OrderedBlock, delta: dict[str, Any]) -> None:
        self._put(_DELTA, {"contentBlockIndex": block.number, "delta": delta})

    def _begin_call(self, block: OrderedBlock, call: ToolCall) -> None:
        self._put_start(block, {"toolUse": call_without_input(call, self._context.losses)})

    def _begin_other(self, block: OrderedBlock) -> None:
        content = encode_answer_block(block.block, self._context.losses)
        if content is None:
            return
        match content:
            case {"toolUse": dict(call)}:
                self._put_start(block, {"toolUse": {name: call[name] for name in call if name != "input"}})
                self._put_delta(block, {"toolUse": {"input": write_value(call.get("input", {})).decode()}})
            case {"toolResult": dict(result)}:
                self._put_start(block, {"toolResult": {name: result[name] for name in result if name != "content"}})
                self._put_delta(block, {"toolResult": result.get("content", [])})
            case {"image": dict(image)}:
                self._put_start(block, {"image": {"format": image.get("format")}})
                self._put_delta(block, {"image": {"source": image.get("source", {})}})
            case _:
                self._drop(next(iter(content), "content"))

    def _write_citation(self, block: OrderedBlock, event: Cite) -> None:
        citation = encode_link(event.citation, self._context.losses)
        if citation is None or not isinstance(block.block, Text):
            return
        if block.number < 0:
            self._begin_text(block, "")
        self._put_delta(block, {"citation": citation})

    def _write_arguments(self, block: OrderedBlock, call: ToolCall, arguments: str) -> None:
        value = encode_input(call, arguments, self._context.losses)
        self._put_delta(block, {"toolUse": {"input": write_value(value).decode()}})

    def _end_block(self, block: OrderedBlock) -> None:
        self._put("contentBlockStop", {"contentBlockIndex": block.number})

    def _finish_thinking(self, block: OrderedBlock, thinking: Thinking, event: Close) -> None:
        own = thinking.dialect == SEAL
        encrypted = event.encrypted or thinking.encrypted
        if own and thinking.redacted and encrypted and is_blob(encrypted):
            self._number(block)
            self._put_delta(block, {"reasoningContent": {"redactedContent": encrypted}})
            return
        signature = (event.signature or thinking.signature) if own else thinking.field
        if signature and block.number < 0:
            self._number(block)
            self._put_delta(block, {"reasoningContent": {"text": ""}})
        if signature:
            self._put_delta(block, {"reasoningContent": signed(signature)})
        elif block.number < 0:
            self._drop("thinking")

    def _end(self) -> None:
        if not self._started:
            self._start(Start(id="", model=""))
        self._close_all()
        stop = self._last_stop
        if stop.reason == "pause":
            self._drop("stop.pause")
        self.finish_reason = encode_stop(stop.reason, called=self._called)
        self._put("messageStop", {"stopReason": self.finish_reason, **more_fields(stop.sequence, self._request)})
        self._put("metadata", {"usage": encode_usage(self._usage), "metrics": METRICS})

    def _fail(self, event: Fail) -> None:
        self._frames.append(error_frame(event.message, event.status))
