"""Reading a stream of chat completion chunks as events.

Follows what services really send: see `calls.py` for tool calls; a finish reason is held until the stream ends, since
some send it with content or before more of it; `[DONE]` may be missing when there was one. `Decoder.feed` is on the hot
path of translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects.chat.response_decode import (
    FAILED,
    NO_ARGUMENTS,
    STOPS,
    call_id,
    citation,
    signature_of,
    thinking_text,
)
from llmproxy.dialects.chat.stream_tool_calls import Calls, Function, Piece
from llmproxy.dialects.chat.stream_watch import DONE
from llmproxy.dialects.chat.usage import UsageFields, decode_usage
from llmproxy.dialects.codec import StreamDecoder
from llmproxy.dialects.lenient_json import Fields, NoList, Other, count, error_message, string
from llmproxy.dialects.model import (
    Block,
    Cite,
    Close,
    Delta,
    Done,
    Event,
    Fail,
    Lost,
    Open,
    Refusal,
    Start,
    Stop,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    UsageUpdate,
)
from llmproxy.dialects.provider_errors import code_of, status_of
from llmproxy.errors import BrokenStream
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as, read_value
from llmproxy.wire.sse import Splitter


class _Delta(Fields):
    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    tool_calls: list[Piece | Other] | NoList = None
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
    model: Any = None
    created: Any = None
    choices: list[_Choice | Other] | NoList = None
    usage: UsageFields | Other = None
    error: Any = None
    moderation: Any = None


_CHUNK: msgspec.json.Decoder[_Chunk] = msgspec.json.Decoder(_Chunk)

# Members of a delta that have no place elsewhere: sound, and the sealed thinking that routers of services pass on.
_UNREAD = ("audio", "reasoning_details")


class Decoder(StreamDecoder):
    """One stream. At most one text, thinking or refusal is open, and calls stay open until the end, as theirs may come
    interleaved."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._events: list[Event] = []
        self._started = False
        self._over = False
        self._reason: str | None = None
        self._next = 0
        self._open: type[Block] | None = None
        self._index = -1
        self._refused = False
        self._place: str | None = None
        self._calls = Calls()
        self._ids: set[str] = set()
        self._lost: set[str] = set()

    def feed(self, data: bytes) -> Sequence[Event]:
        if self._over:
            return ()
        try:
            frames = self._splitter.feed(data)
        except BrokenStream as error:
            self._fail(error.message)
            frames = []
        return self._read_all(frames)

    def close(self) -> Sequence[Event]:
        if self._over:
            return ()
        self._read_all(self._splitter.flush(), keep=True)
        if not self._over:
            if self._reason is not None:
                self._end()
            else:
                self._fail("The provider's stream ended before its last event")
        return self._taken()

    def _read_all(self, frames: list[Frame], *, keep: bool = False) -> Sequence[Event]:
        for frame in frames:
            if self._over:
                break
            self._read(frame)
        return () if keep else self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _read(self, frame: Frame) -> None:
        chunk = read_as(_CHUNK, frame.data)
        if chunk is None:
            self._read_other(frame)
            return
        if (chunk.error is not None or frame.event == "error") and self._failed(frame, chunk.error):
            return
        if not self._started and (chunk.choices or chunk.id):
            self._started = True
            model, created_s = string(chunk.model) or "", count(chunk.created)
            self._events.append(Start(id=string(chunk.id) or "", model=model, created_s=created_s))
        if type(chunk.choices) is list:
            for choice in chunk.choices:
                if type(choice) is _Choice:
                    self._read_choice(choice)
        if chunk.usage is not None or chunk.moderation is not None:
            self._read_about(chunk)

    def _failed(self, frame: Frame, error: object) -> bool:
        """Whether the frame is an error: one of that name, or a chunk that holds one."""
        value = read_value(frame.data) if error is None else error
        message = error_message(value)
        if message is not None:
            self._fail_with(message, value)
        return message is not None

    def _read_about(self, chunk: _Chunk) -> None:
        usage = decode_usage(chunk.usage)
        if usage is not None:
            self._events.append(UsageUpdate(usage=usage))
        if chunk.moderation is not None:
            self._lose("moderation")

    def _read_other(self, frame: Frame) -> None:
        """`[DONE]`, or what is no chunk at all."""
        if frame.data.strip() == DONE:
            self._end()
        elif frame.event == "error":
            self._fail(frame.data.decode("utf-8", "replace"))
        else:
            self._fail("The provider sent an event that is no chunk of a chat completion")

    def _read_choice(self, choice: _Choice) -> None:
        if choice.index != 0 and choice.index is not None:
            self._lose("choices")
            return
        delta = choice.delta
        if type(delta) is _Delta:
            self._read_delta(delta, choice.logprobs)
        if type(choice.finish_reason) is str and choice.finish_reason:
            self._reason = choice.finish_reason
            if self._reason == FAILED:
                self._fail_with(error_message(choice.error) or "The provider's answer broke off", choice.error)

    def _read_delta(self, delta: _Delta, logprobs: object) -> None:
        if delta.reasoning_content and type(delta.reasoning_content) is str:
            self._place = "reasoning_content"
            self._say(Thinking, delta.reasoning_content)
        elif delta.reasoning and type(delta.reasoning) is str:
            self._place = "reasoning"
            self._say(Thinking, delta.reasoning)
        if delta.content:
            self._read_content(delta.content, logprobs)
        if delta.refusal and type(delta.refusal) is str:
            self._refused = True
            self._say(Refusal, delta.refusal)
            if type(logprobs) is _Logprobs and logprobs.refusal:
                self._lose("refusal.logprobs")
        if delta.tool_calls or delta.function_call or delta.annotations or delta.audio or delta.reasoning_details:
            self._read_rest(delta)

    def _read_content(self, content: object, logprobs: object) -> None:
        if type(content) is str:
            likely = logprobs.content if type(logprobs) is _Logprobs else None
            self._say(Text, content, likely if type(likely) is list and likely else None)
            return
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            kind = part.get("type")
            text = thinking_text(part) if kind == "thinking" else string(part.get("text"))
            if text and kind in ("text", "thinking"):
                self._say(Text if kind == "text" else Thinking, text)
            elif kind not in ("text", "thinking"):
                self._lose(string(kind) or "content")

    def _read_rest(self, delta: _Delta) -> None:
        if type(delta.tool_calls) is list:
            for piece in delta.tool_calls:
                if type(piece) is Piece:
                    self._read_piece(piece)
        if type(delta.function_call) is Function:
            self._read_piece(Piece(index=-1, function=delta.function_call))
        if isinstance(delta.annotations, list):
            self._cite(delta.annotations)
        for name in _UNREAD:
            if getattr(delta, name):
                self._lose(name)

    def _say(
        self, kind: type[Text] | type[Thinking] | type[Refusal], text: str, likely: list[Any] | None = None
    ) -> None:
        if self._open is not kind:
            self._close_open()
            block = self._empty(kind)
            self._index = self._begin(block)
            self._open = kind
        self._events.append(Delta(index=self._index, text=text, logprobs=likely))

    def _empty(self, kind: type[Text] | type[Thinking] | type[Refusal]) -> Block:
        if kind is Thinking:
            return Thinking(path=f"reply.{self._place or 'content'}", text="", dialect="chat", field=self._place)
        return Text(text="") if kind is Text else Refusal(text="")

    def _begin(self, block: Block) -> int:
        index = self._next
        self._next += 1
        self._events.append(Open(index=index, block=block))
        return index

    def _close_open(self) -> None:
        if self._open is not None:
            self._events.append(Close(index=self._index))
            self._open = None

    def _read_piece(self, piece: Piece) -> None:
        call, arguments = self._calls.find(piece)
        if call.block is None:
            if call.name is None:
                return
            self._close_open()
            block = ToolCall(
                id=call_id(call.given_id, self._ids),
                name=call.name,
                arguments="",
                custom=call.custom,
                signature=signature_of(piece.extra_content),
            )
            call.block = self._begin(block)
            arguments = "".join(call.pieces)
        if arguments:
            self._events.append(Delta(index=call.block, text=arguments))

    def _cite(self, annotations: list[Any]) -> None:
        for each in annotations:
            if isinstance(each, dict):
                if self._open is not Text:
                    self._close_open()
                    self._index = self._begin(Text(text=""))
                    self._open = Text
                self._events.append(Cite(index=self._index, citation=citation(each)))

    def _lose(self, what: str) -> None:
        if what not in self._lost:
            self._lost.add(what)
            self._events.append(Lost(what=what))

    def _end(self) -> None:
        if not self._started:
            self._fail("The provider's stream held no answer")
            return
        self._over = True
        self._close_open()
        for call in self._calls.all:
            if call.block is None:
                self._lose("tool_call")
                continue
            if not call.pieces and not call.custom:
                # Some services say nothing where OpenAI says "{}", which clients read as JSON.
                self._events.append(Delta(index=call.block, text=NO_ARGUMENTS))
            self._events.append(Close(index=call.block))
        self._events += [Stop(reason=self._stop()), Done()]

    def _stop(self) -> StopReason:
        stop = STOPS.get(self._reason or "", "end")
        if stop == "end" and any(call.block is not None for call in self._calls.all):
            return "tool_calls"
        return "refusal" if stop == "end" and self._refused else stop

    def _fail(self, message: str) -> None:
        self._over = True
        self._events.append(Fail(message=message))

    def _fail_with(self, message: str, error: object) -> None:
        """The provider's own error."""
        self._over = True
        told = error.get("error", error) if isinstance(error, dict) else None
        code = code_of(told) or "upstream_stream_error"
        self._events.append(Fail(message=message, code=code, status=status_of(told)))
