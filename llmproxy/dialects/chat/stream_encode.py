"""Writing a stream of chat completion chunks from events.

The role comes first, then what the model makes as it makes it, a chunk with the finish reason, a chunk of usage without
choices when the client asked for it, and `[DONE]`. Everything of a chunk but its text is written once per stream, since
`write` is on the hot path of translation.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects.chat.request_decode import LEGACY
from llmproxy.dialects.chat.response_encode import (
    finish_of,
    kind_of,
    note_stop,
    write_call,
    write_citation,
    write_reply_id,
)
from llmproxy.dialects.chat.stream_watch import DONE
from llmproxy.dialects.chat.usage import encode_usage
from llmproxy.dialects.codec import Losses, StreamEncoder
from llmproxy.dialects.error_body import write_error_event
from llmproxy.dialects.model import (
    Block,
    Citation,
    Cite,
    Close,
    Delta,
    Done,
    Event,
    Fail,
    Lost,
    Open,
    Refusal,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
    UsageUpdate,
)
from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_value
from llmproxy.wire.sse import write_frame

_DELTA = b'"choices":[{"index":0,"delta":{'
_PLAIN = b'},"logprobs":null,"finish_reason":null}]'
_MEMBERS: dict[type[Block], bytes] = {
    Text: b'"content":',
    Thinking: b'"reasoning_content":',
    Refusal: b'"refusal":',
}


class Encoder(StreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._legacy = LEGACY in request.echo
        self._include_usage = request.include_usage
        self._head = b""
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._plain_tail = _PLAIN + self._tail
        self._before: dict[int, bytes] = {}
        self._after: dict[int, bytes] = {}
        self._texts: set[int] = set()
        self._begins: dict[int, int] = {}
        self._citations: dict[int, list[Citation]] = {}
        self._annotations: list[dict[str, Any]] = []
        self._length = 0
        self._calls = 0
        self._refused = False
        self._thought = False
        self._usage: Usage | None = None

    def encode(self, events: Sequence[Event], losses: Losses) -> bytes:
        frames: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                self._grow(frames, event)
            else:
                self._turn(frames, event, losses)
        return b"".join(frames)

    def _grow(self, frames: list[bytes], delta: Delta) -> None:
        index = delta.index
        before = self._before.get(index)
        if before is None:
            return  # of a block that was listed as lost
        if index in self._texts:
            self._length += len(delta.text)
        if delta.logprobs is not None:
            told = write_value({"content": delta.logprobs, "refusal": None})
            tail = b'},"logprobs":%b,"finish_reason":null}]%b' % (told, self._tail)
            frames += (before, _encode(delta.text), tail)
        else:
            frames += (before, _encode(delta.text), self._after[index])

    def _turn(self, frames: list[bytes], event: Event, losses: Losses) -> None:
        match event:
            case Start():
                self._start(frames, event)
            case Open():
                self._open(frames, event, losses)
            case Cite():
                self._citations.setdefault(event.index, []).append(event.citation)
            case Close():
                self._close(event.index, losses)
            case UsageUpdate():
                self._usage = event.usage
            case _:
                self._finish(frames, event, losses)

    def _finish(self, frames: list[bytes], event: Event, losses: Losses) -> None:
        match event:
            case Stop():
                if self._annotations:
                    self._put(frames, b'"annotations":%b' % write_value(self._annotations))
                note_stop(event.reason, event.sequence, losses)
                reason = finish_of(event.reason, refused=self._refused, legacy=self._legacy)
                finish = b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":%b}]' % _encode(reason)
                frames += (self._head, finish, self._tail)
            case Done():
                self._end(frames)
            case Fail():
                failed = ProxyError(event.message, status=event.status, code=event.code)
                frames.append(write_error_event(failed))
            case Lost():
                losses.drop(f"reply.{event.what}")
            case _:
                pass

    def _start(self, frames: list[bytes], start: Start) -> None:
        head = write_value(
            {
                "id": write_reply_id(start.id),
                "object": "chat.completion.chunk",
                "created": int(time.time()) if start.created_s is None else start.created_s,
                "model": start.model or self._model,
            }
        )
        self._head = b"data: %b," % head[:-1]
        self._usage = start.usage
        self._put(frames, b'"role":"assistant","content":"","refusal":null')

    def _put(self, frames: list[bytes], delta: bytes) -> None:
        frames += (self._head, _DELTA, delta, self._plain_tail)

    def _open(self, frames: list[bytes], event: Open, losses: Losses) -> None:
        block, index = event.block, event.index
        match block:
            case Text() | Thinking() | Refusal():
                if isinstance(block, Text):
                    losses.drop_extra(block)
                    self._texts.add(index)
                    self._begins[index] = self._length
                    if block.annotations:
                        self._citations[index] = list(block.annotations)
                self._refused = self._refused or isinstance(block, Refusal)
                self._before[index] = self._head + _DELTA + _MEMBERS[type(block)]
                self._after[index] = self._plain_tail
                if isinstance(block, Thinking):
                    self._part_thoughts(frames, block, losses)
                if block.text:
                    self._grow(frames, Delta(index=index, text=block.text))
            case ToolCall() if self._legacy:
                self._open_function(frames, index, block, losses)
            case ToolCall():
                losses.drop_extra(block)
                self._open_call(frames, index, block)
            case _:
                losses.drop(f"reply.{kind_of(block)}")

    def _part_thoughts(self, frames: list[bytes], block: Thinking, losses: Losses) -> None:
        """Keep one thought apart from the one before, as whole answers do."""
        if block.redacted:
            losses.drop("reply.thinking")
        elif self._thought:
            self._put(frames, b'"reasoning_content":"\\n\\n"')
        self._thought = self._thought or not block.redacted

    def _open_call(self, frames: list[bytes], index: int, call: ToolCall) -> None:
        number = self._calls
        self._calls += 1
        opened = {"index": number, **write_call(call, call.arguments)}
        self._put(frames, b'"tool_calls":[%b]' % write_value(opened))
        kind, member = (b"custom", b"input") if call.custom else (b"function", b"arguments")
        self._before[index] = b'%b%b"tool_calls":[{"index":%d,"%b":{"%b":' % (self._head, _DELTA, number, kind, member)
        self._after[index] = b"}}]" + self._plain_tail

    def _open_function(self, frames: list[bytes], index: int, call: ToolCall, losses: Losses) -> None:
        """A call for a client that knows one call a turn."""
        self._calls += 1
        if self._calls > 1:
            losses.drop("reply.tool_call")
            return
        opened = {"name": call.name, "arguments": call.arguments}
        self._put(frames, b'"function_call":%b' % write_value(opened))
        self._before[index] = self._head + _DELTA + b'"function_call":{"arguments":'
        self._after[index] = b"}" + self._plain_tail

    def _close(self, index: int, losses: Losses) -> None:
        """The block is whole. Its citations wait for the others', as the SDK breaks off when two chunks have some."""
        self._before.pop(index, None)
        begin = self._begins.get(index, 0)
        for each in self._citations.pop(index, ()):
            annotation = write_citation(each, begin, self._length - begin, losses)
            if annotation is not None:
                self._annotations.append(annotation)

    def _end(self, frames: list[bytes]) -> None:
        if self._include_usage:
            usage = write_value(encode_usage(self._usage))
            frames += (self._head, b'"choices":[],"usage":', usage, b"}\n\n")
        frames.append(write_frame(DONE))


def _encode(text: str) -> bytes:
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return write_value(text)
