"""Reading a stream of response events.

Parts are opened and closed by events of their own; what only a `done` event tells (arguments, texts, whole items) is
told as if it had come in pieces. `Decoder.feed` is on the hot path of translation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from llmproxy.dialects.codec import StreamDecoder
from llmproxy.dialects.lenient_json import Fields, error_message, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import (
    Block,
    Cite,
    Close,
    Delta,
    Done,
    Event,
    Fail,
    Open,
    Refusal,
    Start,
    Stop,
    Text,
    Thinking,
    ToolCall,
    UsageUpdate,
)
from llmproxy.dialects.provider_errors import code_of, status_of
from llmproxy.dialects.responses.content import read_citation
from llmproxy.dialects.responses.logprobs import spelled
from llmproxy.dialects.responses.response_decode import read_item, seconds, stop_of
from llmproxy.dialects.responses.usage import decode_usage
from llmproxy.errors import BadRequest, BrokenStream
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as
from llmproxy.wire.sse import Splitter


class _Event(Fields):
    type: Any = None
    delta: Any = None
    output_index: Any = None
    item_id: Any = None
    content_index: Any = 0
    summary_index: Any = 0
    item: Any = None
    part: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    annotation: Any = None
    logprobs: Any = None
    response: Any = None
    error: Any = None
    message: Any = None
    code: Any = None


_EVENT: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)
_Key = tuple[Any, str]
_OF_CALL = ("namespace", "caller", "async")


class _Part:
    """An open block: its index, whether something of it was said, how many citations were told, and which part of a
    summary it stands in."""

    __slots__ = ("cited", "index", "said", "section")

    def __init__(self, index: int) -> None:
        self.index = index
        self.said = False
        self.cited = 0
        self.section: Any = None


class Decoder(StreamDecoder):
    """One stream."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._events: list[Event] = []
        self._started = False
        self._over = False
        self._next = 0
        self._parts: dict[_Key, _Part] = {}
        self._content: list[Block] = []
        self._seen: set[_Key] = set()
        self._thought_ids: dict[Any, str | None] = {}
        self._handlers: dict[str, Callable[[_Event], None]] = {
            "response.output_text.delta": lambda event: self._grow(event, _text_key(event), Text(text="")),
            "response.refusal.delta": lambda event: self._grow(event, _text_key(event), Refusal(text="")),
            "response.function_call_arguments.delta": lambda event: self._grow(event, _call_key(event), None),
            "response.custom_tool_call_input.delta": lambda event: self._grow(event, _call_key(event), None),
            "response.reasoning_summary_text.delta": lambda event: self._think(event, _summary(event), event.delta),
            "response.reasoning_text.delta": lambda event: self._think(event, _reasoned(event), event.delta),
            "response.created": self._start,
            "response.queued": self._start,
            "response.in_progress": self._start,
            "response.output_item.added": self._add_item,
            "response.content_part.added": self._add_part,
            "response.output_text.annotation.added": self._cite,
            "response.output_text.done": lambda event: self._fill(event, _text_key(event), event.text, Text(text="")),
            "response.refusal.done": lambda event: self._fill(event, _text_key(event), event.refusal, Refusal(text="")),
            "response.function_call_arguments.done": lambda event: self._fill(
                event, _call_key(event), event.arguments, None
            ),
            "response.custom_tool_call_input.done": lambda event: self._fill(
                event, _call_key(event), event.input, None
            ),
            "response.reasoning_summary_text.done": lambda event: self._rethink(event, _summary(event)),
            "response.reasoning_text.done": lambda event: self._rethink(event, _reasoned(event)),
            "response.content_part.done": self._finish_part,
            "response.output_item.done": self._finish_item,
            "response.completed": self._finish,
            "response.incomplete": self._finish,
            "response.failed": self._fail_with,
            "response.cancelled": self._fail_with,
            "error": self._fail_with,
        }

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
        events = list(self._read_all(self._splitter.flush()))
        if not self._over:
            self._fail("The provider's stream ended before its last event")
        return [*events, *self._taken()]

    def _read_all(self, frames: list[Frame]) -> Sequence[Event]:
        for frame in frames:
            if self._over:
                break
            self._read(frame)
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _read(self, frame: Frame) -> None:
        if frame.data.strip() == b"[DONE]":
            return  # which some services send after the last event
        event = read_as(_EVENT, frame.data)
        if event is None:
            self._fail("The provider sent an event that is no JSON object")
            return
        kind = event.type if type(event.type) is str else frame.event
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(event)
        elif not kind and event.error is not None:
            self._fail_with(event)

    def _start(self, event: _Event) -> None:
        if not self._started:
            self._started = True
            response = event.response if isinstance(event.response, dict) else {}
            model, name = string(response.get("model")) or "", string(response.get("id")) or ""
            self._events.append(Start(id=name, model=model, created_s=seconds(response.get("created_at"))))

    def _begin(self, key: _Key, block: Block) -> _Part:
        if not self._started:
            self._start(_Event())
        self._close(key)  # of what a service began there and never finished
        part = self._parts[key] = _Part(self._next)
        self._seen.add(key)
        self._next += 1
        self._content.append(block)
        self._events.append(Open(index=part.index, block=block))
        return part

    def _grow(self, event: _Event, key: _Key, block: Block | None) -> None:
        text = event.delta
        if type(text) is not str or not text:
            return
        part = self._parts.get(key)
        if part is None:
            if block is None:
                return  # arguments of a call that nobody announced
            part = self._begin(key, block)
        part.said = True
        likely = spelled(event.logprobs) if type(event.logprobs) is list and event.logprobs else None
        self._events.append(Delta(index=part.index, text=text, logprobs=likely))

    def _think(self, event: _Event, section: tuple[bool, object], text: object) -> None:
        """More of one part of a summary, or of the thinking itself."""
        if type(text) is not str or not text:
            return
        key = (_place(event), "thinking")
        part = self._parts.get(key)
        if part is None:
            name = self._thought_ids.get(key[0])
            part = self._begin(key, Thinking(text="", dialect="responses", id=name, summary=section[0]))
        apart = "\n\n" if part.said and part.section != section else ""
        part.said, part.section = True, section
        self._events.append(Delta(index=part.index, text=apart + text))

    def _rethink(self, event: _Event, section: tuple[bool, object]) -> None:
        """A part of thinking is whole: tell it if it did not come in pieces."""
        part = self._parts.get((_place(event), "thinking"))
        if part is None or part.section != section:
            self._think(event, section, event.text)

    def _fill(self, event: _Event, key: _Key, text: object, block: Block | None) -> None:
        """What was not told in pieces."""
        part = self._parts.get(key)
        if type(text) is str and text and (part is None or not part.said):
            event.delta = text
            self._grow(event, key, block)

    def _close(self, key: _Key, sealed: Block | None = None) -> None:
        part = self._parts.pop(key, None)
        if part is None:
            return
        if isinstance(sealed, Thinking):
            self._events.append(Close(index=part.index, encrypted=sealed.encrypted, extra=sealed.extra))
        else:
            self._events.append(Close(index=part.index))

    def _add_item(self, event: _Event) -> None:
        item = event.item if isinstance(event.item, dict) else {}
        kind = item.get("type")
        if kind in ("function_call", "custom_tool_call"):
            name, call_id = string(item.get("name")) or "", string(item.get("call_id")) or string(item.get("id")) or ""
            extra = {member: item[member] for member in _OF_CALL if item.get(member) is not None}
            call = ToolCall(id=call_id, name=name, arguments="", custom=kind == "custom_tool_call", extra=extra)
            open_ = self._parts.get(_call_key(event))
            if open_ is None or self._content[open_.index] != call:  # announced twice otherwise
                self._begin(_call_key(event), call)
        elif kind == "reasoning":
            # Opened with its first words: an item without any has only a seal, which comes at its end.
            self._start(_Event())
            self._thought_ids[_place(event)] = string(item.get("id"))

    def _add_part(self, event: _Event) -> None:
        part = event.part if isinstance(event.part, dict) else {}
        kind = part.get("type")
        if kind in ("output_text", "refusal") and _text_key(event) not in self._seen:
            self._begin(_text_key(event), Text(text="") if kind == "output_text" else Refusal(text=""))

    def _cite(self, event: _Event) -> None:
        part = self._parts.get(_text_key(event))
        if part is not None:
            self._tell_citations(part, [event.annotation])

    def _tell_citations(self, part: _Part, annotations: list[Any]) -> None:
        for each in annotations:
            part.cited += 1
            try:
                self._events.append(Cite(index=part.index, citation=read_citation(Members(each, "reply.citation"))))
            except BadRequest:
                continue

    def _finish_part(self, event: _Event) -> None:
        self._complete(_text_key(event), event.part)
        self._close(_text_key(event))

    def _complete(self, key: _Key, whole: object) -> None:
        """A part of a message is whole: tell what of it was not told."""
        part = self._parts.get(key)
        if part is None or not isinstance(whole, dict):
            return
        text = whole.get("text") or whole.get("refusal")
        if not part.said and type(text) is str:
            self._events.append(Delta(index=part.index, text=text))
            part.said = True
        annotations = whole.get("annotations")
        if isinstance(annotations, list):
            self._tell_citations(part, annotations[part.cited :])

    def _finish_item(self, event: _Event) -> None:
        """An item is whole: tell what of it was not told, and close it."""
        item = event.item if isinstance(event.item, dict) else {}
        place, kind = _place(event), item.get("type")
        if kind == "message":
            self._finish_message(place, item)
        elif kind in ("function_call", "custom_tool_call") and (place, "call") in self._seen:
            self._fill(event, (place, "call"), item.get("arguments") or item.get("input"), None)
            self._close((place, "call"))
        elif kind == "reasoning" and (place, "thinking") in self._seen:
            self._close((place, "thinking"), next(iter(read_item(item))))
        elif item:
            self._tell(item)

    def _finish_message(self, place: object, item: dict[str, Any]) -> None:
        parts = item.get("content")
        for index, whole in enumerate(parts if isinstance(parts, list) else ()):
            key = (place, f"part {index}")
            if key in self._seen:
                self._complete(key, whole)
            else:
                self._tell({"type": "message", "content": [whole]})
        for key in [key for key in self._parts if key[0] == place]:
            self._close(key)

    def _tell(self, item: dict[str, Any]) -> None:
        """A whole item at once."""
        for block in read_item(item):
            key = (("whole", self._next), "whole")
            index = self._begin(key, _emptied(block)).index
            text = _text_of(block)
            if text:
                likely = block.logprobs if isinstance(block, Text) else None
                self._events.append(Delta(index=index, text=text, logprobs=likely))
            cited = block.annotations if isinstance(block, Text) else []
            self._events += [Cite(index=index, citation=each) for each in cited]
            self._close(key, block)

    def _finish(self, event: _Event) -> None:
        response = event.response if isinstance(event.response, dict) else {}
        self._start(event)
        for key in list(self._parts):
            self._close(key)
        if not self._content and isinstance(response.get("output"), list):
            for item in response["output"]:
                if isinstance(item, dict):
                    self._tell(item)
        self._over = True
        usage = decode_usage(response.get("usage"))
        if usage is not None:
            self._events.append(UsageUpdate(usage=usage))
        status = response if "status" in response else {"status": str(event.type).rpartition(".")[2]}
        self._events += [Stop(reason=stop_of(status, self._content)), Done()]

    def _fail_with(self, event: _Event) -> None:
        """The provider's own error: an event `error`, or a response that failed."""
        response = event.response if isinstance(event.response, dict) else {}
        error = event.error if event.error is not None else response.get("error")
        message = error_message(error) or string(event.message) or "The provider's answer failed"
        told = error if isinstance(error, dict) else {"code": event.code}
        self._over = True
        code = code_of(told) or "upstream_stream_error"
        self._events.append(Fail(message=message, code=code, status=status_of(told)))

    def _fail(self, message: str) -> None:
        self._over = True
        self._events.append(Fail(message=message))


def _place(event: _Event) -> int | str:
    """Which item an event speaks of: by its place in the output, where a service leaves that out by its name."""
    if type(event.output_index) is int:
        return event.output_index
    name = event.item_id
    if name is None and isinstance(event.item, dict):
        name = event.item.get("id")
    return name if type(name) is str else 0


def _text_key(event: _Event) -> _Key:
    return _place(event), f"part {event.content_index}"


def _call_key(event: _Event) -> _Key:
    return _place(event), "call"


def _summary(event: _Event) -> tuple[bool, object]:
    return True, event.summary_index


def _reasoned(event: _Event) -> tuple[bool, object]:
    return False, event.content_index


def _emptied(block: Block) -> Block:
    """The block as it begins, before its text came."""
    match block:
        case Text():
            return msgspec.structs.replace(block, text="", annotations=[], logprobs=None)
        case Thinking():
            return msgspec.structs.replace(block, text="", encrypted=None, extra={})
        case Refusal():
            return msgspec.structs.replace(block, text="")
        case ToolCall():
            return msgspec.structs.replace(block, arguments="")
        case _:
            return block


def _text_of(block: Block) -> str:
    match block:
        case Text() | Refusal() | Thinking():
            return block.text
        case ToolCall():
            return block.arguments
        case _:
            return ""
