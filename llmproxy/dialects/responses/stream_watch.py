"""Watch streams of response events: an override of `derived.DerivedWatch`, which takes 9 times as long.

Source: platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.lenient_json import Fields, Other, error_message, string
from llmproxy.dialects.responses.summary import (
    ResponseFields,
    read_response,
)
from llmproxy.dialects.stream_watch import FrameWatch
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
# What an item says as it begins; the others (a tool's name, a search) are content by themselves.
_EMPTY_ITEMS = frozenset({"message", "reasoning"})


class _Item(Fields):
    type: Any = None


class _Event(Fields):
    type: Any = None
    delta: Any = None
    item: _Item | Other = None
    response: ResponseFields | Other = None
    error: Any = None
    message: Any = None


_EVENT: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)


class ResponsesWatch(FrameWatch):
    """Complete with the event that carries the finished response, whether it succeeded or not."""

    __slots__ = ()

    def _notable(self, data: bytes) -> bool:
        # Only the first and the last events hold the response. `find`: see chat/stream_watch.py.
        return data.find(b'"response"') >= 0 or data.find(b'"error"') >= 0

    def _read(self, frame: Frame) -> None:
        event = read_as(_EVENT, frame.data)
        if event is None:
            return
        kind = string(event.type) or frame.event
        if kind.endswith(".delta"):
            self.started = self.started or bool(event.delta)
            if kind == "response.output_text.delta":
                self._say(event.delta)
        elif kind == "response.output_item.added":
            if isinstance(event.item, _Item) and event.item.type not in _EMPTY_ITEMS:
                self.started = True
        elif kind == "error":
            self.summary.error = error_message(event.error) or string(event.message) or "error"
        elif isinstance(event.response, ResponseFields):
            self._take(event.response, kind)

    def _take(self, response: ResponseFields, kind: str) -> None:
        latest = read_response(response)
        summary = self.summary
        summary.id = latest.id or summary.id
        summary.model = latest.model or summary.model
        summary.usage = latest.usage or summary.usage
        if kind in _LAST:
            summary.complete = True
            summary.finish_reason = latest.finish_reason or kind.removeprefix("response.")
            summary.error = latest.error or summary.error
            if kind == "response.failed":
                summary.error = summary.error or "failed"
