"""Watch streams of ConverseStream: an override of `derived.DerivedWatch`, which takes 4 times as long.

Source: the shape `ConverseStreamOutput`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.converse.usage import TierFields, UsageFields, decode_usage
from llmproxy.dialects.lenient_json import Fields, Other, object_of, string
from llmproxy.dialects.stream_watch import FrameWatch
from llmproxy.dialects.summary import Summary
from llmproxy.wire.eventstream import EVENT_STREAM
from llmproxy.wire.framing import ErrorFrame, Frame
from llmproxy.wire.json import read_as, read_value


class _Delta(Fields):
    text: Any = None
    toolUse: Any = None
    reasoningContent: Any = None


class _Event(Fields):
    start: Any = None
    delta: _Delta | Other = None
    stopReason: Any = None
    usage: UsageFields | Other = None
    serviceTier: TierFields | Other = None


_EVENT: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)


class ConverseWatch(FrameWatch):
    """Complete with `metadata`, which has the usage, or with the end of a stream that told why it stopped."""

    __slots__ = ()

    framing = EVENT_STREAM

    def _notable(self, data: bytes) -> bool:
        return (
            data.find(b"messageStop") >= 0
            or data.find(b"metadata") >= 0
            or data.find(b":error-code") >= 0
            or (data.find(b":exception-type") >= 0)
        )

    def close(self) -> Summary:
        summary = super().close()
        summary.complete = summary.complete or (summary.finish_reason is not None and summary.error is None)
        return summary

    def _read(self, frame: Frame) -> None:
        summary = self.summary
        if isinstance(frame, ErrorFrame):
            value = object_of(read_value(frame.data))
            summary.error = string(value.get("message")) or string(value.get("Message")) or frame.event or "error"
            return
        event = read_as(_EVENT, frame.data)
        if event is None:
            return
        match frame.event:
            case "contentBlockStart":
                self.started = self.started or bool(event.start)
            case "contentBlockDelta" if isinstance(event.delta, _Delta):
                self._read_delta(event.delta)
            case "messageStop":
                summary.finish_reason = string(event.stopReason)
            case "metadata":
                summary.usage = decode_usage(event.usage, event.serviceTier)
                summary.complete = True

    def _read_delta(self, delta: _Delta) -> None:
        self._say(delta.text)
        thought = object_of(delta.reasoningContent)
        if object_of(delta.toolUse).get("input") or thought.get("text") or thought.get("redactedContent"):
            self.started = True
