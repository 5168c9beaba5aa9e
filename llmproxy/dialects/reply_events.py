"""A whole reply from the events of a stream, and the events of a stream from a whole reply."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.dialects.model import Block, Media, Opaque, Refusal, Reply, Text, Thinking, ToolCall, ToolResult
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate


def collect(events: Sequence[Event]) -> Reply | Fail:
    """Return the reply that a stream's events make up, as far as they go; the `Fail` that ended it, if one did."""
    collected = _Collected()
    for event in events:
        if isinstance(event, Fail):
            return event
        collected.add(event)
    collected.close()
    return collected.reply


class _Collected:
    """Blocks that grow."""

    def __init__(self) -> None:
        self.reply = Reply(id="", model="", content=[], stop="end")
        self._blocks: dict[int, Block] = {}
        self._texts: dict[int, list[str]] = {}

    def add(self, event: Event) -> None:
        reply = self.reply
        match event:
            case Start():
                reply.id, reply.model, reply.created_s = event.id, event.model, event.created_s
                reply.usage = event.usage
            case Open():
                self._blocks[event.index] = event.block
                self._texts[event.index] = []
                reply.content.append(event.block)
            case UsageUpdate():
                reply.usage = event.usage
            case Stop():
                reply.stop, reply.stop_sequence, reply.stop_word = event.reason, event.sequence, event.word
            case Delta() | Cite() | Close():
                self._grow(event)
            case Done() | Fail() | Lost():
                pass

    def close(self) -> None:
        """End the reply: what is still open stays as it is."""
        for index, texts in self._texts.items():
            _settle(self._blocks[index], "".join(texts), Close(index=index))

    def _grow(self, event: Delta | Cite | Close) -> None:
        block = self._blocks[event.index]
        match event:
            case Delta():
                self._texts[event.index].append(event.text)
                if event.logprobs and isinstance(block, Text):
                    block.logprobs = [*(block.logprobs or []), *event.logprobs]
            case Cite():
                if isinstance(block, Text):
                    block.annotations.append(event.citation)
            case Close():
                _settle(block, "".join(self._texts.pop(event.index)), event)


def _settle(block: Block, text: str, close: Close) -> None:
    if isinstance(block, ToolCall):
        block.arguments += text
    elif isinstance(block, Text | Thinking | Refusal):
        block.text += text
    if isinstance(block, Thinking):
        block.signature = close.signature or block.signature
        block.encrypted = close.encrypted or block.encrypted
        block.extra = block.extra | close.extra


def events_of(reply: Reply) -> list[Event]:
    """Return the events of a stream with the content of `reply`, each block in one delta."""
    events: list[Event] = [Start(id=reply.id, model=reply.model, created_s=reply.created_s)]
    for index, block in enumerate(reply.content):
        events += block_events(index, block)
    events.append(Stop(reason=reply.stop, sequence=reply.stop_sequence, word=reply.stop_word))
    if reply.usage is not None:
        events.append(UsageUpdate(usage=reply.usage))
    return [*events, Done()]


def block_events(index: int, block: Block) -> list[Event]:
    """Return the events of a block that comes at once, as the stream's `index`th."""
    opened = msgspec.structs.replace(block)
    text, close = "", Close(index=index)
    logprobs, citations = None, []
    match opened:
        case Text():
            text, logprobs, citations = opened.text, opened.logprobs, opened.annotations
            opened.text, opened.logprobs, opened.annotations = "", None, []
        case Refusal():
            text, opened.text = opened.text, ""
        case ToolCall():
            text, opened.arguments = opened.arguments, ""
        case Thinking():
            close.signature, close.encrypted = opened.signature, opened.encrypted
            text, opened.text, opened.signature = opened.text, "", None
        case Media() | ToolResult() | Opaque():
            pass
    deltas = [Delta(index=index, text=text, logprobs=logprobs)] if text else []
    cited = [Cite(index=index, citation=citation) for citation in citations]
    return [Open(index=index, block=opened), *deltas, *cited, close]
