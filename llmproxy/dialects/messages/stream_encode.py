"""A stream of message events, encoded from events of the neutral vocabulary.

Blocks come strictly one after the other here, so those that begin while another is open wait until it closes. A block
begins with its first word, so that none is empty; usage and stop reason come last, when both are known. Source:
docs.anthropic.com/en/api/messages-streaming. `_grow` is on the hot path of translation.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from llmproxy.dialects.messages.error_body import error_type
from llmproxy.dialects.messages.response_encode import (
    call_without_input,
    empty_message,
    encode_answer_block,
    encode_input,
    encode_link,
    encode_stop,
)
from llmproxy.dialects.messages.usage import encode_usage
from llmproxy.dialects.model import (
    Block,
    Cite,
    Close,
    Delta,
    Fail,
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
)
from llmproxy.dialects.stream_encode import StreamEncoder, encode_string
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame

_AFTER = b"}}\n\n"


class _OpenBlock:
    """A block that was opened. `before` is what stands before the text of a delta, once it has begun; the deltas of one
    that is `whole` are written together at its end; `waiting` are its events while another block is written."""

    __slots__ = ("before", "block", "number", "texts", "waiting", "whole")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.before: bytes | None = None
        self.number = -1
        self.whole = isinstance(block, ToolCall) and block.custom
        self.texts: list[str] = []
        self.waiting: list[Delta | Cite | Close] = []


class MessagesStreamEncoder(StreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._blocks: dict[int, _OpenBlock] = {}
        self._queue: list[int] = []
        self._next_number = 0
        self._started = False
        self._called = False
        self._last_stop = Stop(reason="end")

    def _put(self, kind: str, members: dict[str, Any]) -> None:
        self._frames.append(write_frame(write_value({"type": kind, **members}), kind))

    def _start(self, event: Start) -> None:
        self._started = True
        message = empty_message(event.id, event.model or self._request.model, event.usage)
        self._put("message_start", {"message": message})

    def _open(self, event: Open) -> None:
        self._blocks[event.index] = _OpenBlock(event.block)
        self._queue.append(event.index)
        if len(self._queue) == 1:
            self._begin(event.index)

    def _grow(self, event: Delta) -> None:
        index = event.index
        block = self._blocks.get(index)
        if block is None:
            return
        if self._queue[0] != index:
            block.waiting.append(event)
            return
        if event.logprobs is not None:
            self._drop("logprobs")
        if not event.text:
            return
        before = block.before
        if before is None:
            before = self._begin_text(block, event.text)
            if before is None:
                return
        self._frames += (before, encode_string(event.text), _AFTER)

    def _begin_text(self, block: _OpenBlock, text: str) -> bytes | None:
        """Return what stands before the deltas of a block, whose first text is `text`; None while nothing is to be
        written."""
        if block.whole:
            block.texts.append(text)
            return None
        match block.block:
            case ToolCall():
                start = text.lstrip()[:1]
                if start != "{":
                    # White space adds nothing, and clients would fail on text that is no JSON object.
                    block.whole = bool(start)
                    block.texts += [text] if start else []
                    return None
                kind = (b"input_json_delta", b"partial_json")
            case Text() | Refusal():
                self._put_start(block, {"type": "text", "text": ""})
                kind = (b"text_delta", b"text")
            case Thinking():
                self._put_start(block, {"type": "thinking", "thinking": "", "signature": ""})
                kind = (b"thinking_delta", b"thinking")
            case Opaque() | Media() | ToolResult():
                return None
            case _:
                assert_never(block.block)
        block.before = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
            % (block.number, *kind)
        )
        return block.before

    def _put_start(self, block: _OpenBlock, content: dict[str, Any]) -> None:
        block.number = self._next_number
        self._next_number += 1
        self._put("content_block_start", {"index": block.number, "content_block": content})

    def _put_delta(self, block: _OpenBlock, delta: dict[str, Any]) -> None:
        self._put("content_block_delta", {"index": block.number, "delta": delta})

    def _begin(self, index: int) -> None:
        """Begin the block `index`, whose turn it is."""
        block = self._blocks[index]
        opened = block.block
        match opened:
            case ToolCall():
                self._called = True
                self._put_start(block, call_without_input(opened, self._context.losses))
                self._grow(Delta(index=index, text=opened.arguments))
            case Thinking() if opened.redacted:
                pass
            case Text() | Thinking() | Refusal():
                self._grow(Delta(index=index, text=opened.text))
                for citation in opened.annotations if isinstance(opened, Text) else ():
                    self._write_citation(block, Cite(index=index, citation=citation))
            case Opaque() | Media() | ToolResult():
                content = encode_answer_block(opened, self._context.losses)
                if content is not None:
                    self._put_start(block, content)
            case _:
                assert_never(opened)

    def _cite(self, event: Cite) -> None:
        block = self._block_in_turn(event)
        if block is not None:
            self._write_citation(block, event)

    def _close(self, event: Close) -> None:
        block = self._block_in_turn(event)
        if block is not None:
            self._finish_block(block, event)
            self._next_block()

    def _block_in_turn(self, event: Cite | Close) -> _OpenBlock | None:
        """Return the block of `event` if it is written now; otherwise the event waits."""
        block = self._blocks.get(event.index)
        if block is None or self._queue[0] == event.index:
            return block
        block.waiting.append(event)
        return None

    def _write_citation(self, block: _OpenBlock, event: Cite) -> None:
        citation = encode_link(event.citation, self._context.losses)
        if citation is None or not isinstance(block.block, Text):
            return
        if block.number < 0:
            self._begin_text(block, "")
        self._put_delta(block, {"type": "citations_delta", "citation": citation})

    def _finish_block(self, block: _OpenBlock, event: Close) -> None:
        opened = block.block
        if isinstance(opened, Thinking):
            self._finish_thinking(block, opened, event)
        elif isinstance(opened, ToolCall) and (block.whole or (opened.custom and not block.texts)):
            value = encode_input(opened, "".join(block.texts), self._context.losses)
            self._put_delta(block, {"type": "input_json_delta", "partial_json": write_value(value).decode()})
        if block.number >= 0:
            self._put("content_block_stop", {"index": block.number})

    def _finish_thinking(self, block: _OpenBlock, thinking: Thinking, event: Close) -> None:
        """Write the signature, which may be all that there is of thinking."""
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

    def _next_block(self) -> None:
        """Write the blocks that wait behind the first one, which closed, as far as they came."""
        while True:
            del self._blocks[self._queue.pop(0)]
            if not self._queue:
                return
            index = self._queue[0]
            self._begin(index)
            if not self._write_waiting(self._blocks[index]):
                return

    def _write_waiting(self, block: _OpenBlock) -> bool:
        """Write the events that wait for a block; return whether they close it."""
        waiting, block.waiting = block.waiting, []
        for event in waiting:
            match event:
                case Delta():
                    self._grow(event)
                case Cite():
                    self._write_citation(block, event)
                case Close():
                    self._finish_block(block, event)
                    return True
                case _:
                    assert_never(event)
        return False

    def _stop(self, event: Stop) -> None:
        self._last_stop = event

    def _end(self) -> None:
        if not self._started:
            self._start(Start(id="", model=""))
        while self._queue:
            self._close(Close(index=self._queue[0]))
        stop = self._last_stop
        self.finish_reason = encode_stop(stop.reason, called=self._called)
        delta = {"stop_reason": self.finish_reason, "stop_sequence": stop.sequence}
        self._put("message_delta", {"delta": delta, "usage": encode_usage(self._usage)})
        self._put("message_stop", {})

    def _fail(self, event: Fail) -> None:
        self._put("error", {"error": {"type": error_type(event.status), "message": event.message}})
