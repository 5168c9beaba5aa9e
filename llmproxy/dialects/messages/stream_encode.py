"""Writing a stream of message events from events of the neutral vocabulary.

Blocks come strictly one after the other here, so those that begin while another is open are held back until it closes.
A block begins with its first word, so that none is empty; usage and stop reason come last, when both are known. Source:
docs.anthropic.com/en/api/messages-streaming. `write` is on the hot path of translation.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.dialects.codec import Losses, StreamEncoder
from llmproxy.dialects.messages.error_body import error_type
from llmproxy.dialects.messages.response_encode import (
    begun,
    opened_call,
    reason_of,
    write_block,
    write_input,
    write_source,
)
from llmproxy.dialects.messages.usage import encode_usage
from llmproxy.dialects.model import (
    Block,
    Cite,
    Close,
    Delta,
    Done,
    Event,
    Fail,
    Lost,
    Media,
    Opaque,
    Open,
    Refusal,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    UsageUpdate,
)
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame

_AFTER = b"}}\n\n"


class _Block:
    """A block that was opened. `before` is what stands before the text of a delta, once it has begun; `whole` is one
    whose deltas are told together at its end."""

    __slots__ = ("before", "block", "held", "number", "texts", "whole")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.before: bytes | None = None
        self.number = -1
        self.whole = isinstance(block, ToolCall) and block.custom
        self.texts: list[str] = []
        self.held: list[Delta | Cite | Close] = []


class Encoder(StreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._blocks: dict[int, _Block] = {}
        self._queue: list[int] = []
        self._number = 0
        self._started = False
        self._called = False
        self._stop = Stop(reason="end")
        self._usage: Usage | None = None
        self._frames: list[bytes] = []

    def encode(self, events: Sequence[Event], losses: Losses) -> bytes:
        for event in events:
            if type(event) is Delta:
                self._grow(event, losses)
            else:
                self._turn(event, losses)
        frames, self._frames = self._frames, []
        return b"".join(frames)

    def _turn(self, event: Event, losses: Losses) -> None:
        match event:
            case Start():
                self._start(event)
            case Open():
                self._blocks[event.index] = _Block(event.block)
                self._queue.append(event.index)
                if len(self._queue) == 1:
                    self._begin(event.index, losses)
            case Cite() | Close():
                self._follow(event, losses)
            case UsageUpdate():
                self._usage = event.usage
            case Stop():
                self._stop = event
            case _:
                self._finish(event, losses)

    def _finish(self, event: Event, losses: Losses) -> None:
        match event:
            case Done():
                self._end(losses)
            case Fail():
                told = {"type": error_type(event.status), "message": event.message}
                self._put("error", {"type": "error", "error": told})
            case Lost():
                losses.drop(f"reply.{event.what}")
            case _:
                pass

    def _put(self, kind: str, event: dict[str, object]) -> None:
        self._frames.append(write_frame(write_value(event), kind))

    def _start(self, start: Start) -> None:
        self._started = True
        self._usage = start.usage
        message = begun(start.id, start.model or self._model, encode_usage(start.usage))
        self._put("message_start", {"type": "message_start", "message": message})

    def _grow(self, delta: Delta, losses: Losses) -> None:
        index = delta.index
        block = self._blocks.get(index)
        if block is None:
            return
        if self._queue[0] != index:
            block.held.append(delta)
            return
        if delta.logprobs is not None:
            losses.drop("reply.logprobs")
        if not delta.text:
            return
        before = block.before
        if before is None:
            before = self._first(block, delta.text, losses)
            if before is None:
                return
        self._frames += (before, _encode(delta.text), _AFTER)

    def _first(self, block: _Block, text: str, losses: Losses) -> bytes | None:
        """What stands before the deltas of a block, whose first text is `text`; None while nothing is to be told."""
        opened = block.block
        if block.whole:
            block.texts.append(text)
            return None
        match opened:
            case ToolCall():
                start = text.lstrip()[:1]
                if start != "{":
                    # White space says nothing, and on what is no JSON object clients would fail.
                    block.whole = bool(start)
                    block.texts += [text] if start else []
                    return None
                kind = (b"input_json_delta", b"partial_json")
            case Text() | Refusal():
                self._open(block, {"type": "text", "text": ""})
                kind = (b"text_delta", b"text")
            case Thinking():
                self._open(block, {"type": "thinking", "thinking": "", "signature": ""})
                kind = (b"thinking_delta", b"thinking")
            case Opaque() | Media() | ToolResult():
                return None
        block.before = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
            % (block.number, *kind)
        )
        return block.before

    def _open(self, block: _Block, content: dict[str, object]) -> None:
        block.number = self._number
        self._number += 1
        started = {"type": "content_block_start", "index": block.number, "content_block": content}
        self._put("content_block_start", started)

    def _delta(self, block: _Block, delta: dict[str, object]) -> None:
        self._put("content_block_delta", {"type": "content_block_delta", "index": block.number, "delta": delta})

    def _begin(self, index: int, losses: Losses) -> None:
        """It is the turn of the block `index`."""
        block = self._blocks[index]
        opened = block.block
        match opened:
            case ToolCall():
                self._called = True
                self._open(block, opened_call(opened, losses))
                self._grow(Delta(index=index, text=opened.arguments), losses)
            case Thinking() if opened.redacted:
                pass
            case Text() | Thinking() | Refusal():
                self._grow(Delta(index=index, text=opened.text), losses)
                if isinstance(opened, Text):
                    for citation in opened.annotations:
                        self._cite(block, Cite(index=index, citation=citation), losses)
            case Opaque() | Media() | ToolResult():
                content = write_block(opened, losses)
                if content is not None:
                    self._open(block, content)

    def _follow(self, event: Cite | Close, losses: Losses) -> None:
        block = self._blocks.get(event.index)
        if block is None:
            return
        if self._queue[0] != event.index:
            block.held.append(event)
        elif isinstance(event, Cite):
            self._cite(block, event, losses)
        else:
            self._close(block, event, losses)
            self._next(losses)

    def _cite(self, block: _Block, event: Cite, losses: Losses) -> None:
        citation = write_source(event.citation, losses)
        if citation is None or not isinstance(block.block, Text):
            return
        if block.number < 0:
            self._first(block, "", losses)
        self._delta(block, {"type": "citations_delta", "citation": citation})

    def _close(self, block: _Block, close: Close, losses: Losses) -> None:
        opened = block.block
        if isinstance(opened, Thinking):
            self._seal(block, opened, close, losses)
        elif isinstance(opened, ToolCall) and (block.whole or (opened.custom and not block.texts)):
            given = write_input("".join(block.texts), opened.custom, losses)
            self._delta(block, {"type": "input_json_delta", "partial_json": write_value(given).decode()})
        if block.number >= 0:
            self._put("content_block_stop", {"type": "content_block_stop", "index": block.number})

    def _seal(self, block: _Block, thought: Thinking, close: Close, losses: Losses) -> None:
        """The end of thinking: its signature, which may be all that there is of it."""
        own = thought.dialect == "messages"
        signature = ((close.signature or thought.signature) if own else thought.field) or ""
        if block.number < 0:
            sealed = msgspec.structs.replace(
                thought, signature=signature, encrypted=close.encrypted or thought.encrypted
            )
            content = write_block(sealed, losses)
            if content is None:
                return
            self._open(block, {**content, "signature": ""} if signature else content)
        if signature:
            self._delta(block, {"type": "signature_delta", "signature": signature})

    def _next(self, losses: Losses) -> None:
        """The first block closed: those that were held back, as far as they came."""
        while True:
            del self._blocks[self._queue.pop(0)]
            if not self._queue:
                return
            index = self._queue[0]
            block = self._blocks[index]
            self._begin(index, losses)
            if not self._replay(block, losses):
                return

    def _replay(self, block: _Block, losses: Losses) -> bool:
        """Write what was held back of a block; whether it is closed by that."""
        held, block.held = block.held, []
        for event in held:
            match event:
                case Delta():
                    self._grow(event, losses)
                case Cite():
                    self._cite(block, event, losses)
                case Close():
                    self._close(block, event, losses)
                    return True
        return False

    def _end(self, losses: Losses) -> None:
        if not self._started:
            self._start(Start(id="", model=""))
        while self._queue:
            self._follow(Close(index=self._queue[0]), losses)
        reason = reason_of(self._stop.reason, called=self._called)
        delta = {"stop_reason": reason, "stop_sequence": self._stop.sequence}
        self._put("message_delta", {"type": "message_delta", "delta": delta, "usage": encode_usage(self._usage)})
        self._put("message_stop", {"type": "message_stop"})


def _encode(text: str) -> bytes:
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return write_value(text)
