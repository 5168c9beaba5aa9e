"""Streams whose blocks come strictly one after the other: those that begin while another is open wait until it closes.

A block begins with its first word, so that none is empty. A dialect writes its frames; begin reading at
`OrderedStreamEncoder`, whose `_grow` is on the hot path of translation.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import assert_never

from llmproxy.dialects.model import Block, Media, Opaque, Refusal, Request, Text, Thinking, ToolCall, ToolResult
from llmproxy.dialects.stream_encode import StreamEncoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Open, Stop


class OrderedBlock:
    """A block that was opened. `before` is what stands before the text of a delta, once it has begun; `number` its
    place in the answer, -1 until then; the deltas of one that is `whole` are written together at its end; `waiting` are
    its events while another block is written."""

    __slots__ = ("before", "block", "number", "texts", "waiting", "whole")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.before: bytes | None = None
        self.number = -1
        self.whole = isinstance(block, ToolCall) and block.custom
        self.texts: list[str] = []
        self.waiting: list[Delta | Cite | Close] = []


class OrderedStreamEncoder(StreamEncoder):
    """One stream for a client that sent `request`. `_called` says that a tool was called,
    `_started` that something was written, `_last_stop` why the answer ended."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._blocks: dict[int, OrderedBlock] = {}
        self._queue: list[int] = []
        self._next_number = 0
        self._called = False
        self._started = False
        self._last_stop = Stop(reason="end")

    @abstractmethod
    def _begin_growing(self, block: OrderedBlock) -> bytes:
        """Begin a text, a refusal, thinking, or the arguments of a call; return what stands before its deltas."""

    @abstractmethod
    def _write_delta(self, before: bytes, text: str) -> None:
        """Write more of a block. Called for nearly every event."""

    @abstractmethod
    def _begin_call(self, block: OrderedBlock, call: ToolCall) -> None:
        """Begin a call, without its arguments."""

    @abstractmethod
    def _begin_other(self, block: OrderedBlock) -> None:
        """Write a block that came at once, or list it as dropped."""

    @abstractmethod
    def _write_citation(self, block: OrderedBlock, event: Cite) -> None:
        """Write a citation of a text, whose turn it is."""

    @abstractmethod
    def _write_arguments(self, block: OrderedBlock, call: ToolCall, arguments: str) -> None:
        """Write the arguments of a call that could not be passed on as they came."""

    @abstractmethod
    def _finish_thinking(self, block: OrderedBlock, thinking: Thinking, event: Close) -> None:
        """Write the rest of thinking, which may be all that there is of it."""

    @abstractmethod
    def _end_block(self, block: OrderedBlock) -> None:
        """Write the end of a block that has begun."""

    def _stop(self, event: Stop) -> None:
        """Keep the reason for the end, where the rest of the answer is known."""
        self._last_stop = event

    def _number(self, block: OrderedBlock) -> int:
        """Give a block its place in the answer."""
        block.number = self._next_number
        self._next_number += 1
        return block.number

    def _open(self, event: Open) -> None:
        self._blocks[event.index] = OrderedBlock(event.block)
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
        self._write_delta(before, event.text)

    def _begin_text(self, block: OrderedBlock, text: str) -> bytes | None:
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
            case Text() | Refusal() | Thinking():
                pass
            case Opaque() | Media() | ToolResult():
                return None
            case _:
                assert_never(block.block)
        block.before = self._begin_growing(block)
        return block.before

    def _begin(self, index: int) -> None:
        """Begin the block `index`, whose turn it is."""
        block = self._blocks[index]
        opened = block.block
        match opened:
            case ToolCall():
                self._called = True
                self._begin_call(block, opened)
                self._grow(Delta(index=index, text=opened.arguments))
            case Thinking() if opened.redacted:
                pass
            case Text() | Thinking() | Refusal():
                self._grow(Delta(index=index, text=opened.text))
                for citation in opened.annotations if isinstance(opened, Text) else ():
                    self._write_citation(block, Cite(index=index, citation=citation))
            case Opaque() | Media() | ToolResult():
                self._begin_other(block)
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

    def _block_in_turn(self, event: Cite | Close) -> OrderedBlock | None:
        """Return the block of `event` if it is written now; otherwise the event waits."""
        block = self._blocks.get(event.index)
        if block is None or self._queue[0] == event.index:
            return block
        block.waiting.append(event)
        return None

    def _finish_block(self, block: OrderedBlock, event: Close) -> None:
        opened = block.block
        if isinstance(opened, Thinking):
            self._finish_thinking(block, opened, event)
        elif isinstance(opened, ToolCall) and (block.whole or (opened.custom and not block.texts)):
            self._write_arguments(block, opened, "".join(block.texts))
        if block.number >= 0:
            self._end_block(block)

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

    def _write_waiting(self, block: OrderedBlock) -> bool:
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

    def _close_all(self) -> None:
        """Close what is still open at the end."""
        while self._queue:
            self._close(Close(index=self._queue[0]))
