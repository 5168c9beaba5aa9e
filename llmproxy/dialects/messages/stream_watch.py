"""Watch streams of message events: an override of `derived.DerivedWatch`, which takes 12 times as long.

Source: docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.lenient_json import Fields, Other, error_message, string
from llmproxy.dialects.messages.usage import UsageFields, decode_usage
from llmproxy.dialects.stream_watch import FrameWatch
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as


class _Message(Fields):
    model: Any = None
    usage: UsageFields | Other = None


class _Block(Fields):
    type: Any = None
    text: Any = None
    thinking: Any = None


class _Delta(Fields):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    stop_reason: Any = None


class _Event(Fields):
    type: Any = None
    message: _Message | Other = None
    content_block: _Block | Other = None
    delta: _Delta | Other = None
    usage: UsageFields | Other = None
    error: Any = None


_EVENT: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)


class MessagesWatch(FrameWatch):
    """Complete with `message_stop`. Usage comes with the start of the message and grows with `message_delta`."""

    __slots__ = ()

    def _notable(self, data: bytes) -> bool:
        # `find`, as `in` tries its left side as a number first: 0.18 against 0.39 µs for 200 bytes.
        return data.find(b'"message_') >= 0 or data.find(b'"error"') >= 0

    def _read(self, frame: Frame) -> None:
        event = read_as(_EVENT, frame.data)
        if event is None:
            return
        summary = self.summary
        match string(event.type) or frame.event:
            case "content_block_start" | "content_block_delta":
                self._read_content(event)
            case "message_start" | "message_delta":
                self._read_message(event)
            case "message_stop":
                summary.complete = True
            case "error":
                summary.error = error_message(event.error) or "error"

    def _read_content(self, event: _Event) -> None:
        """Read a block or a delta. Text and thinking begin empty; any other block is content as it begins."""
        block, delta = event.content_block, event.delta
        if isinstance(block, _Block):
            self._say(block.text)
            if block.thinking or (string(block.type) or "text") not in ("text", "thinking"):
                self.started = True
        elif isinstance(delta, _Delta):
            self._say(delta.text)
            if delta.thinking or delta.partial_json:
                self.started = True

    def _read_message(self, event: _Event) -> None:
        summary = self.summary
        if isinstance(event.message, _Message):
            summary.model = string(event.message.model)
        if isinstance(event.delta, _Delta):
            summary.finish_reason = string(event.delta.stop_reason) or summary.finish_reason
        usage = event.message.usage if isinstance(event.message, _Message) else event.usage
        summary.usage = decode_usage(usage, summary.usage)
