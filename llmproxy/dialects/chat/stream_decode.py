"""A stream of chat completion chunks, decoded into events.

Follows what services really send: see `stream_tool_calls.py` for tool calls; a finish reason is held until the stream
ends, since some send it with content or before more of it; `[DONE]` may be missing after a finish reason.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmproxy.dialects.chat.response_decode import (
    decode_citation,
    decode_signature,
    decode_stop,
    distinct_call_id,
    thinking_text,
)
from llmproxy.dialects.chat.stream_tool_calls import Calls, Function, PartialCall, ToolCallPiece
from llmproxy.dialects.chat.stream_watch import DONE
from llmproxy.dialects.chat.tables import FAILED
from llmproxy.dialects.chat.usage import UsageFields, decode_usage
from llmproxy.dialects.lenient_json import Fields, NoList, Other, count, objects, string
from llmproxy.dialects.model import Block, Refusal, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import read_error
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Start, Stop, UsageUpdate
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as


class _Delta(Fields):
    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    tool_calls: list[ToolCallPiece | Other] | NoList = None
    function_call: Function | Other = None
    annotations: Any = None
    audio: Any = None


class _Logprobs(Fields):
    content: Any = None
    refusal: Any = None


class _Choice(Fields):
    index: Any = 0
    delta: _Delta | Other = None
    logprobs: _Logprobs | Other = None
    finish_reason: Any = None
    error: Any = None


class _Chunk(Fields):
    id: Any = None
    object: Any = None
    model: Any = None
    created: Any = None
    choices: list[_Choice | Other] | NoList = None
    usage: UsageFields | Other = None
    error: Any = None
    moderation: Any = None
    service_tier: Any = None


_CHUNK: msgspec.json.Decoder[_Chunk] = msgspec.json.Decoder(_Chunk)

# Members of a delta that have no equivalent: audio, and the signed thinking that routers of services pass on.
_UNREAD = ("audio", "reasoning_details")


class ChatStreamDecoder(StreamDecoder):
    """One stream. At most one text, thinking or refusal is open, and calls stay open until the end, as theirs may come
    interleaved."""

    def __init__(self) -> None:
        super().__init__()
        self._reason: str | None = None
        self._open: type[Block] | None = None
        self._index = -1
        self._refused = False
        self._thinking_field: str | None = None
        self._calls = Calls()
        self._call_ids: set[str] = set()

    def _decode_frame(self, frame: Frame) -> None:
        chunk = read_as(_CHUNK, frame.data)
        if chunk is None:
            self._decode_other(frame)
            return
        odd = chunk.choices is None or chunk.error is not None or frame.event == "error"
        if odd and self._ends_with_error(frame):
            return
        if not self._started and (chunk.choices or chunk.id):
            self._started = True
            model, created_s = string(chunk.model) or "", count(chunk.created)
            self._events.append(Start(id=string(chunk.id) or "", model=model, created_s=created_s))
        if type(chunk.choices) is list:
            for choice in chunk.choices:
                if type(choice) is _Choice:
                    self._decode_choice(choice)
        if chunk.usage is not None or chunk.moderation is not None:
            self._decode_rest_of_chunk(chunk)

    def _decode_rest_of_chunk(self, chunk: _Chunk) -> None:
        usage = decode_usage(chunk.usage, chunk.service_tier)
        if usage is not None:
            self._events.append(UsageUpdate(usage=usage))
        if chunk.moderation is not None:
            self._lose("moderation")

    def _decode_other(self, frame: Frame) -> None:
        """Decode `[DONE]`, or what is no chunk at all."""
        if frame.data.strip() == DONE:
            self._end()
        else:
            self._fail_unreadable(frame, "is not a chat completion chunk")

    def _decode_choice(self, choice: _Choice) -> None:
        if choice.index != 0 and choice.index is not None:
            self._lose("choices")
            return
        delta = choice.delta
        if type(delta) is _Delta:
            self._decode_delta(delta, choice.logprobs)
        if type(choice.finish_reason) is str and choice.finish_reason:
            self._reason = choice.finish_reason
            if self._reason == FAILED:
                message, error = read_error({"error": choice.error})
                self._fail(message or "The provider's answer ended too early", error)

    def _decode_delta(self, delta: _Delta, logprobs: object) -> None:
        if delta.reasoning_content and type(delta.reasoning_content) is str:
            self._thinking_field = "reasoning_content"
            self._add(Thinking, delta.reasoning_content)
        elif delta.reasoning and type(delta.reasoning) is str:
            self._thinking_field = "reasoning"
            self._add(Thinking, delta.reasoning)
        if delta.content:
            self._decode_content(delta.content, logprobs)
        if delta.refusal and type(delta.refusal) is str:
            self._refused = True
            self._add(Refusal, delta.refusal)
            if type(logprobs) is _Logprobs and logprobs.refusal:
                self._lose("refusal.logprobs")
        if delta.tool_calls or delta.function_call or delta.annotations or delta.audio or delta.reasoning_details:
            self._decode_rest_of_delta(delta)

    def _decode_content(self, content: object, logprobs: object) -> None:
        if type(content) is str:
            likely = logprobs.content if type(logprobs) is _Logprobs else None
            self._add(Text, content, likely if type(likely) is list and likely else None)
            return
        for part in objects(content):
            kind = part.get("type")
            text = thinking_text(part) if kind == "thinking" else string(part.get("text"))
            if text and kind in ("text", "thinking"):
                self._add(Text if kind == "text" else Thinking, text)
            elif kind not in ("text", "thinking"):
                self._lose(string(kind) or "content")

    def _decode_rest_of_delta(self, delta: _Delta) -> None:
        if type(delta.tool_calls) is list:
            for piece in delta.tool_calls:
                if type(piece) is ToolCallPiece:
                    self._decode_piece(piece)
        if type(delta.function_call) is Function:
            self._decode_piece(ToolCallPiece(index=-1, function=delta.function_call))
        self._decode_annotations(delta.annotations)
        for name in _UNREAD:
            if getattr(delta, name):
                self._lose(name)

    def _add(
        self, kind: type[Text] | type[Thinking] | type[Refusal], text: str, logprobs: list[Any] | None = None
    ) -> None:
        """Add text to the open block, or begin a block with it if that is of another kind."""
        if self._open is not kind:
            self._begin(kind)
        self._events.append(Delta(index=self._index, text=text, logprobs=logprobs))

    def _begin(self, kind: type[Text] | type[Thinking] | type[Refusal]) -> None:
        self._close_open()
        field = self._thinking_field
        if kind is Thinking:
            block: Block = Thinking(path=f"reply.{field or 'content'}", text="", dialect="chat", field=field)
        else:
            block = Text(text="") if kind is Text else Refusal(text="")
        self._index = self._open_block(block)
        self._open = kind

    def _close_open(self) -> None:
        if self._open is not None:
            self._events.append(Close(index=self._index))
            self._open = None

    def _decode_piece(self, piece: ToolCallPiece) -> None:
        call, arguments = self._calls.find(piece)
        if call.block is None:
            if call.name is None:
                return
            self._close_open()
            block = ToolCall(
                id=distinct_call_id(call.id, self._call_ids),
                name=call.name,
                arguments="",
                custom=call.custom,
                signature=decode_signature(piece.extra_content),
            )
            call.block = self._open_block(block)
            arguments = "".join(call.pieces)
        if arguments:
            self._events.append(Delta(index=call.block, text=arguments))

    def _decode_annotations(self, annotations: object) -> None:
        for each in objects(annotations):
            if self._open is not Text:
                self._begin(Text)
            self._events.append(Cite(index=self._index, citation=decode_citation(each)))

    def _end_early(self) -> None:
        if self._reason is None:
            super()._end_early()
        else:
            self._end()

    def _end(self) -> None:
        if not self._started or (self._reason is None and self._last_words is not None):
            self._fail_unfinished("The provider's stream contained no answer")
            return
        self._over = True
        self._close_open()
        for call in self._calls.all:
            self._close_call(call)
        called = any(call.block is not None for call in self._calls.all)
        reason = decode_stop(self._reason, called=called, refused=self._refused)
        self._events += [Stop(reason=reason, word=self._reason or None), Done()]

    def _close_call(self, call: PartialCall) -> None:
        if call.block is None:
            self._lose("tool_call")
            return
        self._events.append(Close(index=call.block))
