"""A stream of message events, decoded into events of the neutral vocabulary.

Source: docs.anthropic.com/en/api/messages-streaming and the SDK's `raw_message_stream_event`. Blocks of built-in tools
are passed on once they are whole.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.call_arguments import arguments_text
from llmproxy.dialects.lenient_json import Fields, Other, object_of, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.messages.content import decode_citation
from llmproxy.dialects.messages.response_decode import decode_answer_block, decode_stop, used_tools
from llmproxy.dialects.messages.tables import SERVER_TOOLS
from llmproxy.dialects.messages.usage import decode_usage
from llmproxy.dialects.model import Block, Opaque, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.usage import Usage
from llmproxy.errors import BadRequest
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as, read_value


class _Delta(Fields):
    type: Any = None
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    signature: Any = None
    citation: Any = None
    stop_reason: Any = None
    stop_sequence: Any = None
    stop_details: Any = None
    container: Any = None


class _Event(Fields):
    type: Any = None
    index: Any = None
    delta: _Delta | Other = None
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None
    context_management: Any = None


_EVENT: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)

_DELTA_TYPES: dict[type[Block], str] = {
    Text: "text_delta",
    Thinking: "thinking_delta",
    ToolCall: "input_json_delta",
    Opaque: "input_json_delta",
}
# The blocks that deltas begin which come without one.
_IMPLIED = {"text_delta": {"type": "text", "text": ""}, "thinking_delta": {"type": "thinking", "thinking": ""}}


class _OpenBlock:
    """A block of the provider's that is not closed. `opaque` is one that is passed on when it is whole."""

    __slots__ = ("delta_type", "index", "input", "opaque", "pieces", "signature")

    def __init__(self, index: int, block: Block) -> None:
        self.index = index
        self.delta_type = _DELTA_TYPES.get(type(block), "")
        self.opaque = block if isinstance(block, Opaque) else None
        self.input: str | None = None
        self.pieces: list[str] = []
        self.signature: str | None = None


class MessagesStreamDecoder(StreamDecoder):
    """One stream."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _OpenBlock] = {}
        self._called = False
        self._reason: str | None = None
        self._sequence: str | None = None
        self._usage: Usage | None = None

    def _decode_frame(self, frame: Frame) -> None:
        event = read_as(_EVENT, frame.data)
        if event is None:
            self._fail_unreadable(frame, "does not belong to a message")
            return
        kind = event.type or frame.event
        if kind == "content_block_delta" and type(event.delta) is _Delta:
            self._grow(event.index, event.delta)
        else:
            try:
                self._decode_event(kind, event, frame)
            except BadReply as error:
                self._fail(error.message)

    def _grow(self, index: object, delta: _Delta) -> None:
        block = self._blocks.get(index) if type(index) is int else None
        kind = delta.type
        if block is None or kind != block.delta_type:
            self._decode_other_delta(index, block, delta)
            return
        if kind == "text_delta":
            text = delta.text
        else:
            text = delta.thinking if kind == "thinking_delta" else arguments_text(delta.partial_json)
        if not text or type(text) is not str:
            return
        if block.opaque is not None:
            block.pieces.append(text)
        else:
            block.input = None
            self._events.append(Delta(index=block.index, text=text))

    def _decode_unopened(self, index: object, kind: str, delta: _Delta) -> None:
        """Read a delta of a block that is not open: words begin one, arguments are of a call that nobody knows."""
        content = _IMPLIED.get(kind)
        if type(index) is int and content is not None and (delta.text or delta.thinking):
            self._open(index, content)
            self._grow(index, delta)
        elif delta.partial_json:
            self._fail("The provider's stream contains arguments of a tool call that it did not begin")
        else:
            self._lose(kind)

    def _decode_other_delta(self, index: object, block: _OpenBlock | None, delta: _Delta) -> None:
        kind = string(delta.type) or "delta"
        if block is None:
            self._decode_unopened(index, kind, delta)
        elif kind == "signature_delta" and block.delta_type == "thinking_delta":
            block.signature = string(delta.signature) or block.signature
        elif kind == "citations_delta" and block.delta_type == "text_delta":
            self._cite(block, delta.citation)
        else:
            self._lose(kind)

    def _cite(self, block: _OpenBlock, value: object) -> None:
        try:
            citation = decode_citation(Members(value, "reply.content.citations"))
        except BadRequest:
            self._lose("citation")
            return
        self._events.append(Cite(index=block.index, citation=citation))

    def _decode_event(self, kind: object, event: _Event, frame: Frame) -> None:
        match kind:
            case "content_block_start":
                self._open(event.index, event.content_block)
            case "content_block_stop":
                self._close(event.index)
            case "message_start":
                self._start(event.message)
            case "message_delta":
                self._decode_message_delta(event)
            case "message_stop":
                self._end()
            case "error":
                self._read_error(frame)
            case other if other != "ping" and not self._read_error(frame) and other:
                self._lose(string(other) or "event")

    def _start(self, value: object) -> None:
        message = object_of(value)
        if self._started:
            self._check_id(message.get("id"))
            return
        self._started = True
        self._update_usage(message.get("usage"))
        name, model = string(message.get("id")) or "", string(message.get("model")) or ""
        self._id = name
        self._events.append(Start(id=name, model=model, usage=self._usage))

    def _update_usage(self, usage: object) -> None:
        if isinstance(usage, dict) and used_tools(usage):
            self._lose(f"usage.{SERVER_TOOLS}")
        self._usage = decode_usage(usage, self._usage)

    def _open(self, index: object, content: object) -> None:
        if type(index) is not int:
            self._lose("content_block")
            return
        if index in self._blocks:
            self._close(index)
        block = decode_answer_block(content, f"reply.content[{index}]")
        self._start(None)
        opened = self._blocks[index] = _OpenBlock(self._next_index, block)
        if isinstance(block, ToolCall):
            # Its input comes in deltas; compatible services send it here instead, and empty input comes in none at all.
            self._called = True
            opened.input, block.arguments = block.arguments, ""
        elif isinstance(block, Thinking):
            opened.signature, block.signature = block.signature or None, None
        if opened.opaque is None:
            self._open_block(block)
        else:
            self._next_index += 1

    def _close(self, index: object) -> None:
        block = self._blocks.pop(index, None) if type(index) is int else None
        if block is None:
            return
        if block.opaque is not None:
            _set_input(block.opaque, "".join(block.pieces))
            self._events.append(Open(index=block.index, block=block.opaque))
        elif block.input is not None:
            self._events.append(Delta(index=block.index, text=block.input))
        self._events.append(Close(index=block.index, signature=block.signature))

    def _decode_message_delta(self, event: _Event) -> None:
        delta = event.delta
        if type(delta) is _Delta:
            self._reason = string(delta.stop_reason) or self._reason
            self._sequence = string(delta.stop_sequence) or self._sequence
            if delta.stop_details is not None:
                self._lose("stop_details")
            if delta.container is not None:
                self._lose("container")
        if event.context_management is not None:
            self._lose("context_management")
        if event.usage is not None:
            self._start(None)
            self._update_usage(event.usage)
            if self._usage is not None:
                self._events.append(UsageUpdate(usage=self._usage))

    def _end(self) -> None:
        if not self._started:
            self._fail_unfinished("The provider's stream contained no answer")
            return
        for index in list(self._blocks):
            self._close(index)
        self._over = True
        reason = decode_stop(self._reason, called=self._called)
        self._events += [Stop(reason=reason, sequence=self._sequence, word=self._reason), Done()]


def _set_input(block: Opaque, text: str) -> None:
    """Set the input of a block of a built-in tool, from its deltas."""
    value = read_value(text.encode("utf-8", "surrogatepass")) if text else None
    if value is not None:
        block.value["input"] = value
