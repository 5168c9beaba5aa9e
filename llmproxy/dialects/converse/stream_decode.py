"""A stream of ConverseStream, decoded into events of the neutral vocabulary.

Texts and thinking begin with their first delta, calls with a `contentBlockStart`; blocks of the provider's own tools
and pictures are passed on once they are whole. Source: the shape `ConverseStreamOutput`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.aws_exceptions import exception_status
from llmproxy.dialects.converse.citations import decode_citation
from llmproxy.dialects.converse.response_decode import (
    MORE_FIELDS,
    decode_answer_block,
    decode_more_fields,
    decode_stop,
)
from llmproxy.dialects.converse.tables import SEAL
from llmproxy.dialects.converse.usage import decode_usage
from llmproxy.dialects.lenient_json import Fields, Other, object_of, objects, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.reply_events import block_events
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Fail, Start, Stop, UsageUpdate
from llmproxy.errors import BadRequest
from llmproxy.wire.eventstream import EVENT_STREAM
from llmproxy.wire.framing import ErrorFrame, Frame
from llmproxy.wire.json import read_as, read_value


class _Delta(Fields):
    text: Any = None
    toolUse: Any = None
    reasoningContent: Any = None
    citation: Any = None
    toolResult: Any = None
    image: Any = None


class _DeltaEvent(Fields):
    contentBlockIndex: Any = None
    delta: _Delta | Other = None


_DELTA: msgspec.json.Decoder[_DeltaEvent] = msgspec.json.Decoder(_DeltaEvent)


class _OpenBlock:
    """A block of the provider's that is not closed. `block` is what it grows, None for one that is held until it is
    whole: `value` is that so far, and `pieces` the text of its input."""

    __slots__ = ("block", "encrypted", "index", "pieces", "signature", "value")

    def __init__(self, index: int, block: Block | None, value: dict[str, Any] | None = None) -> None:
        self.index = index
        self.block = block
        self.value = value
        self.pieces: list[str] = []
        self.signature: str | None = None
        self.encrypted: str | None = None


class ConverseStreamDecoder(StreamDecoder):
    """One stream."""

    def __init__(self) -> None:
        super().__init__(EVENT_STREAM)
        self._blocks: dict[int, _OpenBlock] = {}
        self._called = False
        self._stopped = False

    def _decode_frame(self, frame: Frame) -> None:
        if isinstance(frame, ErrorFrame):
            self._fail_as(frame)
            return
        if self._stopped and frame.event not in ("metadata", "initial-response"):
            self._lose(frame.event or "event")  # nothing of the answer comes behind its reason
            return
        if frame.event == "contentBlockDelta":
            event = read_as(_DELTA, frame.data)
            if event is not None and type(event.delta) is _Delta:
                self._start()
                self._grow(event.contentBlockIndex, event.delta)
                return
        value = read_value(frame.data)
        if not isinstance(value, dict):
            self._fail("The provider sent an event that does not belong to an answer of Converse")
            return
        try:
            self._decode_event(frame.event, value)
        except BadReply as error:
            self._fail(error.message)

    def _decode_event(self, kind: str, value: dict[str, Any]) -> None:
        match kind:
            case "messageStart":
                self._start()
            case "contentBlockStart":
                self._start()
                self._open(value.get("contentBlockIndex"), object_of(value.get("start")))
            case "contentBlockStop":
                self._close(value.get("contentBlockIndex"))
            case "messageStop":
                self._stop(value)
            case "metadata":
                self._end(value)
            case "initial-response":
                pass
            case _:
                self._lose(kind or "event")

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._events.append(Start(id="", model=""))

    def _open(self, index: object, start: dict[str, Any]) -> None:
        if type(index) is not int:
            self._lose("contentBlockStart")
            return
        self._close(index)
        call = start.get("toolUse")
        if isinstance(call, dict) and "type" not in call:
            block = decode_answer_block({"toolUse": {**call, "input": {}}}, f"reply.content[{index}]")
            if isinstance(block, ToolCall):
                block.arguments = ""
                self._called = True
            self._blocks[index] = _OpenBlock(self._open_block(block), block)
        elif any(isinstance(each, dict) for each in start.values()):
            held = {name: dict(each) for name, each in start.items() if isinstance(each, dict)}
            self._blocks[index] = _OpenBlock(self._next_index, None, held)
            self._next_index += 1

    def _grow(self, index: object, delta: _Delta) -> None:
        if type(index) is not int:
            self._lose("contentBlockDelta")
            return
        opened = self._blocks.get(index)
        if opened is None:
            opened = self._begin_growing(index, delta)
        if opened is None:
            self._lose("contentBlockDelta")
        elif delta.text is not None:
            self._say(opened, delta.text, Text)
        elif opened.value is not None:
            self._hold(opened, opened.value, delta)
        elif delta.reasoningContent is not None:
            self._think(opened, object_of(delta.reasoningContent))
        elif delta.toolUse is not None:
            self._say(opened, object_of(delta.toolUse).get("input"), ToolCall)
        else:
            self._cite(opened, delta.citation)

    def _begin_growing(self, index: int, delta: _Delta) -> _OpenBlock | None:
        """Open the block that a first delta begins; calls, results and pictures have an event of their own for that."""
        block: Block
        if delta.text is not None or delta.citation is not None:
            block = Text(text="")
        elif delta.reasoningContent is not None:
            redacted = string(object_of(delta.reasoningContent).get("redactedContent"))
            block = Thinking(text="", dialect=SEAL, redacted=redacted is not None)
        else:
            return None
        opened = self._blocks[index] = _OpenBlock(self._open_block(block), block)
        return opened

    def _say(self, opened: _OpenBlock, text: object, kind: type[Block]) -> None:
        if not isinstance(opened.block, kind) or not isinstance(text, str):
            self._lose("contentBlockDelta")
        elif text:
            self._events.append(Delta(index=opened.index, text=text))

    def _think(self, opened: _OpenBlock, reasoning: dict[str, Any]) -> None:
        opened.signature = string(reasoning.get("signature")) or opened.signature
        redacted = string(reasoning.get("redactedContent"))
        if redacted is not None:
            opened.encrypted = (opened.encrypted or "") + redacted
        if reasoning.get("text") is not None:
            self._say(opened, reasoning["text"], Thinking)

    def _cite(self, opened: _OpenBlock, value: object) -> None:
        try:
            citation = decode_citation(Members(value, "reply.content.citations"))
        except BadRequest:
            self._lose("citation")
            return
        self._events.append(Cite(index=opened.index, citation=citation))

    def _hold(self, opened: _OpenBlock, held: dict[str, Any], delta: _Delta) -> None:
        """Add a delta to a block that is passed on when it is whole."""
        if delta.toolUse is not None and "toolUse" in held:
            opened.pieces.append(string(object_of(delta.toolUse).get("input")) or "")
        elif delta.toolResult is not None and "toolResult" in held:
            held["toolResult"].setdefault("content", []).extend(objects(delta.toolResult))
        elif delta.image is not None and "image" in held:
            held["image"] |= object_of(delta.image)
        else:
            self._lose("contentBlockDelta")

    def _close(self, index: object) -> None:
        opened = self._blocks.pop(index, None) if type(index) is int else None
        if opened is None:
            return
        if opened.value is None:
            self._events.append(Close(index=opened.index, signature=opened.signature, encrypted=opened.encrypted))
            return
        if "toolUse" in opened.value:
            text = "".join(opened.pieces)
            opened.value["toolUse"]["input"] = read_value(text.encode("utf-8", "surrogatepass")) if text else {}
        block = decode_answer_block(opened.value, f"reply.content[{index}]")
        self._events += block_events(opened.index, block)

    def _stop(self, value: dict[str, Any]) -> None:
        self._start()
        for index in list(self._blocks):
            self._close(index)
        sequence, more = decode_more_fields(value.get(MORE_FIELDS))
        if more:
            self._lose(MORE_FIELDS)
        word = string(value.get("stopReason"))
        self._stopped = True
        self._events.append(Stop(reason=decode_stop(word, called=self._called), sequence=sequence, word=word))

    def _end(self, value: dict[str, Any]) -> None:
        if not self._stopped:
            self._stop({})
        usage = decode_usage(value.get("usage"), value.get("serviceTier"))
        if usage is not None:
            self._events.append(UsageUpdate(usage=usage))
        if value.get("trace") is not None:
            self._lose("trace")
        self._over = True
        self._events.append(Done())

    def _end_early(self) -> None:
        """Handle a stream without metadata: some imitations of Bedrock count no tokens."""
        if self._stopped:
            self._over = True
            self._events.append(Done())
        else:
            super()._end_early()

    def _fail_as(self, frame: ErrorFrame) -> None:
        """End the stream with an exception, whose name tells its status."""
        value = object_of(read_value(frame.data))
        message = string(value.get("message")) or string(value.get("Message")) or frame.event or "error"
        status = exception_status(frame.event, value)
        self._over = True
        self._events.append(Fail(message=message, code=frame.event or "upstream_stream_error", status=status))
