"""Reading a stream of message events as events of the neutral vocabulary.

Source: docs.anthropic.com/en/api/messages-streaming and the SDK's `raw_message_stream_event`. Blocks of built-in tools
are told once they are whole. `Decoder.feed` is on the hot path of translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects.codec import BadReply, StreamDecoder
from llmproxy.dialects.lenient_json import Fields, Other, error_message, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.messages.content import read_citation
from llmproxy.dialects.messages.response_decode import SERVER_TOOLS, read_answer_block, stop_of, used_tools
from llmproxy.dialects.messages.usage import decode_usage
from llmproxy.dialects.model import (
    Block,
    Cite,
    Close,
    Delta,
    Done,
    Event,
    Fail,
    Lost,
    Opaque,
    Open,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
    UsageUpdate,
)
from llmproxy.dialects.provider_errors import code_of, status_of
from llmproxy.errors import BadRequest, BrokenStream
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as, read_value
from llmproxy.wire.sse import Splitter


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


class _Open:
    """A block of the provider's that is not closed. `held` is one that is told when it is whole."""

    __slots__ = ("grows_by", "held", "index", "input", "pieces", "signature")

    def __init__(self, index: int, block: Block) -> None:
        self.index = index
        self.grows_by = _GROWS_BY.get(type(block), "")
        self.held = block if isinstance(block, Opaque) else None
        self.input: str | None = None
        self.pieces: list[str] = []
        self.signature: str | None = None


_GROWS_BY: dict[type[Block], str] = {
    Text: "text_delta",
    Thinking: "thinking_delta",
    ToolCall: "input_json_delta",
    Opaque: "input_json_delta",
}


class Decoder(StreamDecoder):
    """One stream."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._events: list[Event] = []
        self._blocks: dict[int, _Open] = {}
        self._next = 0
        self._started = False
        self._over = False
        self._called = False
        self._reason: str | None = None
        self._sequence: str | None = None
        self._usage: Usage | None = None
        self._lost: set[str] = set()

    def feed(self, data: bytes) -> Sequence[Event]:
        if self._over:
            return ()
        try:
            frames = self._splitter.feed(data)
        except BrokenStream as error:
            self._fail(error.message)
            frames = []
        self._read_all(frames)
        return self._taken()

    def close(self) -> Sequence[Event]:
        if self._over:
            return ()
        self._read_all(self._splitter.flush())
        if not self._over:
            self._fail("The provider's stream ended before its last event")
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _read_all(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._over:
                break
            self._read(frame)

    def _read(self, frame: Frame) -> None:
        event = read_as(_EVENT, frame.data)
        if event is None:
            said = frame.data.decode("utf-8", "replace") if frame.event == "error" else None
            self._fail(said or "The provider sent an event that is none of a message")
            return
        kind = event.type or frame.event
        if kind == "content_block_delta" and type(event.delta) is _Delta:
            self._grow(event.index, event.delta)
        else:
            try:
                self._turn(kind, event, frame)
            except BadReply as error:
                self._fail(error.message)

    def _grow(self, index: object, delta: _Delta) -> None:
        block = self._blocks.get(index) if type(index) is int else None
        kind = delta.type
        if block is None or kind != block.grows_by:
            self._grow_otherwise(block, delta)
            return
        if kind == "text_delta":
            more = delta.text
        else:
            more = delta.thinking if kind == "thinking_delta" else delta.partial_json
        if not more or type(more) is not str:
            return
        if block.held is not None:
            block.pieces.append(more)
        else:
            block.input = None
            self._events.append(Delta(index=block.index, text=more))

    def _grow_otherwise(self, block: _Open | None, delta: _Delta) -> None:
        kind = string(delta.type) or "delta"
        if block is None:
            self._lose(kind)
        elif kind == "signature_delta" and block.grows_by == "thinking_delta":
            block.signature = string(delta.signature) or block.signature
        elif kind == "citations_delta" and block.grows_by == "text_delta":
            self._cite(block, delta.citation)
        else:
            self._lose(kind)

    def _cite(self, block: _Open, citation: object) -> None:
        try:
            self._events.append(
                Cite(index=block.index, citation=read_citation(Members(citation, "reply.content.citations")))
            )
        except BadRequest:
            self._lose("citation")

    def _turn(self, kind: object, event: _Event, frame: Frame) -> None:
        match kind:
            case "content_block_start":
                self._open(event.index, event.content_block)
            case "content_block_stop":
                self._close(event.index)
            case "message_start":
                self._start(event.message)
            case "message_delta":
                self._count(event)
            case "message_stop":
                self._end()
            case "error":
                self._read_error(event.error if event.error is not None else read_value(frame.data))
            case other if other != "ping":
                self._lose(string(other) or "event")

    def _read_error(self, error: object) -> None:
        self._over = True
        code = code_of(error) or "upstream_stream_error"
        self._events.append(Fail(message=error_message(error) or "error", code=code, status=status_of(error)))

    def _start(self, message: object) -> None:
        if self._started:
            return
        self._started = True
        said = message if isinstance(message, dict) else {}
        self._note_usage(said.get("usage"))
        self._events.append(
            Start(id=string(said.get("id")) or "", model=string(said.get("model")) or "", usage=self._usage)
        )

    def _note_usage(self, usage: object) -> None:
        """Counts grow; what an event leaves out stays as it was."""
        if not isinstance(usage, dict):
            return
        if used_tools(usage):
            self._lose(f"usage.{SERVER_TOOLS}")
        self._usage = decode_usage(usage, self._usage)

    def _open(self, index: object, content: object) -> None:
        if type(index) is not int:
            self._lose("content_block")
            return
        if index in self._blocks:
            self._close(index)
        block = read_answer_block(content, f"reply.content[{index}]")
        self._start(None)
        opened = _Open(self._next, block)
        self._next += 1
        self._blocks[index] = opened
        if isinstance(block, ToolCall):
            # Its input comes in deltas; compatible services give it here instead, and empty input comes in none at all.
            self._called = True
            opened.input, block.arguments = block.arguments, ""
        elif isinstance(block, Thinking):
            opened.signature, block.signature = block.signature or None, None
        if opened.held is None:
            self._events.append(Open(index=opened.index, block=block))

    def _close(self, index: object) -> None:
        block = self._blocks.pop(index, None) if type(index) is int else None
        if block is None:
            return
        if block.held is not None:
            _fill(block.held, "".join(block.pieces))
            self._events.append(Open(index=block.index, block=block.held))
        elif block.input is not None:
            self._events.append(Delta(index=block.index, text=block.input))
        self._events.append(Close(index=block.index, signature=block.signature))

    def _count(self, event: _Event) -> None:
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
            self._note_usage(event.usage)
            if self._usage is not None:
                self._events.append(UsageUpdate(usage=self._usage))

    def _end(self) -> None:
        if not self._started:
            self._fail("The provider's stream held no answer")
            return
        for index in list(self._blocks):
            self._close(index)
        self._over = True
        self._events += [Stop(reason=stop_of(self._reason, called=self._called), sequence=self._sequence), Done()]

    def _lose(self, what: str) -> None:
        if what not in self._lost:
            self._lost.add(what)
            self._events.append(Lost(what=what))

    def _fail(self, message: str) -> None:
        self._over = True
        self._events.append(Fail(message=message))


def _fill(block: Opaque, text: str) -> None:
    """Give a block of a built-in tool the input that its deltas told."""
    given = read_value(text.encode("utf-8", "surrogatepass")) if text else None
    if given is not None:
        block.value["input"] = given
