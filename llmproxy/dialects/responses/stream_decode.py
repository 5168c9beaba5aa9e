"""A stream of response events, decoded into events of the neutral vocabulary.

Parts are opened and closed by events of their own; what only a `done` event has (arguments, texts, whole items) is
passed on as if it had come in pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from llmproxy.dialects.call_arguments import arguments_text
from llmproxy.dialects.lenient_json import Fields, object_of, objects, string
from llmproxy.dialects.members import Members
from llmproxy.dialects.model import Block, Refusal, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import read_error
from llmproxy.dialects.reply_events import block_events
from llmproxy.dialects.responses.content import decode_citation
from llmproxy.dialects.responses.logprobs import with_bytes
from llmproxy.dialects.responses.response_decode import decode_item, decode_stop, decode_time, finish_reason_of
from llmproxy.dialects.responses.tables import CALL_TYPES
from llmproxy.dialects.responses.usage import count_searches, decode_usage
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Start, Stop, UsageUpdate
from llmproxy.errors import BadRequest
from llmproxy.wire.framing import Frame
from llmproxy.wire.json import read_as


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


_EVENT: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)
_Key = tuple[Any, str]
_OF_RESPONSE = "response."
"""How the types of events begin that are of this dialect."""
_OF_CALL = (("caller", "~caller"), ("async", "async"))


class _Part:
    """An open block: its index, whether it has text so far, how many citations came, and which part of a summary it
    stands in."""

    __slots__ = ("citations", "has_text", "index", "section")

    def __init__(self, index: int) -> None:
        self.index = index
        self.has_text = False
        self.citations = 0
        self.section: Any = None


class ResponsesStreamDecoder(StreamDecoder):
    """One stream."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[_Key, _Part] = {}
        self._content: list[Block] = []
        self._seen: set[_Key] = set()
        self._unannounced: set[Any] = set()
        self._thinking_ids: dict[Any, str | None] = {}
        self._indexes: dict[str, int] = {}
        self._handlers: dict[str, Callable[[_Event], None]] = {
            "response.output_text.delta": lambda event: self._grow(event, self._text_key(event), Text(text="")),
            "response.refusal.delta": lambda event: self._grow(event, self._text_key(event), Refusal(text="")),
            "response.function_call_arguments.delta": self._grow_call,
            "response.custom_tool_call_input.delta": self._grow_call,
            "response.reasoning_summary_text.delta": lambda event: self._think(event, _summary(event), event.delta),
            "response.reasoning_text.delta": lambda event: self._think(event, _reasoning(event), event.delta),
            "response.created": self._create,
            "response.queued": self._start,
            "response.in_progress": self._start,
            "response.output_item.added": self._add_item,
            "response.content_part.added": self._add_part,
            "response.output_text.annotation.added": self._add_annotation,
            "response.output_text.done": lambda event: self._fill(
                event, self._text_key(event), event.text, Text(text="")
            ),
            "response.refusal.done": lambda event: self._fill(
                event, self._text_key(event), event.refusal, Refusal(text="")
            ),
            "response.function_call_arguments.done": lambda event: self._fill(
                event, self._call_key(event), arguments_text(event.arguments), None
            ),
            "response.custom_tool_call_input.done": lambda event: self._fill(
                event, self._call_key(event), arguments_text(event.input), None
            ),
            "response.reasoning_summary_text.done": lambda event: self._fill_thinking(event, _summary(event)),
            "response.reasoning_text.done": lambda event: self._fill_thinking(event, _reasoning(event)),
            "response.content_part.done": self._finish_part,
            "response.output_item.done": self._finish_item,
            "response.completed": self._finish,
            "response.incomplete": self._finish,
            "response.failed": self._fail_with,
            "response.cancelled": self._fail_with,
        }

    def _decode_frame(self, frame: Frame) -> None:
        if frame.data.strip() == b"[DONE]":
            return  # which some services send after the last event
        event = read_as(_EVENT, frame.data)
        if event is None:
            self._fail_unreadable(frame, "is not a JSON object")
            return
        kind = event.type if type(event.type) is str else frame.event
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(event)
        elif not kind or not kind.startswith(_OF_RESPONSE):
            self._read_error(frame)

    def _start(self, event: _Event) -> None:
        if not self._started:
            self._started = True
            response = object_of(event.response)
            model, name = string(response.get("model")) or "", string(response.get("id")) or ""
            self._id = name
            self._events.append(Start(id=name, model=model, created_s=decode_time(response.get("created_at"))))

    def _create(self, event: _Event) -> None:
        self._start(event)
        self._check_id(object_of(event.response).get("id"))

    def _begin(self, key: _Key, block: Block) -> _Part:
        if not self._started:
            self._start(_Event())
        self._close(key)  # a block that a service began there and never finished
        part = self._parts[key] = _Part(self._open_block(block))
        self._seen.add(key)
        self._content.append(block)
        return part

    def _grow(self, event: _Event, key: _Key, block: Block | None) -> None:
        text = event.delta
        if type(text) is not str or not text:
            return
        part = self._parts.get(key)
        if part is None:
            if block is None:
                if key not in self._seen:
                    self._unannounced.add(key[0])
                return
            part = self._begin(key, block)
        part.has_text = True
        logprobs = with_bytes(event.logprobs) if type(event.logprobs) is list and event.logprobs else None
        self._events.append(Delta(index=part.index, text=text, logprobs=logprobs))

    def _grow_call(self, event: _Event) -> None:
        event.delta = arguments_text(event.delta)
        self._grow(event, self._call_key(event), None)

    def _think(self, event: _Event, section: tuple[bool, object], text: object) -> None:
        """Add to one part of a summary, or to the thinking itself."""
        if type(text) is not str or not text:
            return
        key = (self._item_key(event), "thinking")
        part = self._parts.get(key)
        if part is None:
            name = self._thinking_ids.get(key[0])
            part = self._begin(key, Thinking(text="", dialect="responses", id=name, summary=section[0]))
        between = "\n\n" if part.has_text and part.section != section else ""
        part.has_text, part.section = True, section
        self._events.append(Delta(index=part.index, text=between + text))

    def _fill_thinking(self, event: _Event, section: tuple[bool, object]) -> None:
        """Add a whole part of thinking if it did not come in pieces."""
        part = self._parts.get((self._item_key(event), "thinking"))
        if part is None or part.section != section:
            self._think(event, section, event.text)

    def _fill(self, event: _Event, key: _Key, text: object, block: Block | None) -> None:
        """Add a whole text if it did not come in pieces."""
        part = self._parts.get(key)
        if type(text) is str and text and (part is None or not part.has_text):
            event.delta = text
            self._grow(event, key, block)

    def _close(self, key: _Key, whole: Block | None = None) -> None:
        part = self._parts.pop(key, None)
        if part is None:
            return
        if isinstance(whole, Thinking):
            self._events.append(Close(index=part.index, encrypted=whole.encrypted, extra=whole.extra))
        else:
            self._events.append(Close(index=part.index))

    def _add_item(self, event: _Event) -> None:
        item = object_of(event.item)
        if (item_id := string(item.get("id"))) and type(event.output_index) is int:
            self._indexes[item_id] = event.output_index  # for events of it that name its id alone
        kind, key = item.get("type"), self._call_key(event)
        if kind in CALL_TYPES:
            name, call_id = string(item.get("name")) or "", string(item.get("call_id")) or string(item.get("id")) or ""
            extra = {kept: item[member] for member, kept in _OF_CALL if item.get(member) is not None}
            call = ToolCall(id=call_id, name=name, arguments="", custom=kind == CALL_TYPES[True], extra=extra)
            call.namespace = string(item.get("namespace"))
            part = self._parts.get(key)
            if part is None or self._content[part.index] != call:  # announced twice otherwise
                self._begin(key, call)
        elif kind == "reasoning":
            # Opened with its first words: an item without any has only encrypted content, which comes at its end.
            self._start(_Event())
            self._thinking_ids[self._item_key(event)] = string(item.get("id"))

    def _add_part(self, event: _Event) -> None:
        part = object_of(event.part)
        kind = part.get("type")
        if kind in ("output_text", "refusal") and self._text_key(event) not in self._seen:
            self._begin(self._text_key(event), Text(text="") if kind == "output_text" else Refusal(text=""))

    def _add_annotation(self, event: _Event) -> None:
        part = self._parts.get(self._text_key(event))
        if part is not None:
            self._cite(part, [event.annotation])

    def _cite(self, part: _Part, annotations: list[Any]) -> None:
        for each in annotations:
            part.citations += 1
            try:
                citation = decode_citation(Members(each, "reply.citation"))
            except BadRequest:
                continue
            self._events.append(Cite(index=part.index, citation=citation))

    def _finish_part(self, event: _Event) -> None:
        self._complete(self._text_key(event), event.part)
        self._close(self._text_key(event))

    def _complete(self, key: _Key, whole: object) -> None:
        """Add what is new in a whole part of a message."""
        part = self._parts.get(key)
        if part is None or not isinstance(whole, dict):
            return
        text = whole.get("text") or whole.get("refusal")
        if not part.has_text and type(text) is str:
            self._events.append(Delta(index=part.index, text=text))
            part.has_text = True
        annotations = whole.get("annotations")
        if isinstance(annotations, list):
            self._cite(part, annotations[part.citations :])

    def _item_key(self, event: _Event) -> int | str:
        """Return which item an event is about: its index in the output, where a service leaves that out its id."""
        if type(event.output_index) is int:
            return event.output_index
        name = event.item_id
        if name is None and isinstance(event.item, dict):
            name = event.item.get("id")
        return self._indexes.get(name, name) if type(name) is str else 0

    def _text_key(self, event: _Event) -> _Key:
        return self._item_key(event), f"part {event.content_index}"

    def _call_key(self, event: _Event) -> _Key:
        return self._item_key(event), "call"

    def _finish_item(self, event: _Event) -> None:
        """Add what is new in a whole item, and close its blocks."""
        item = object_of(event.item)
        item_key, kind = self._item_key(event), item.get("type")
        if kind == "message":
            self._finish_message(item_key, item)
        elif kind in CALL_TYPES and (item_key, "call") in self._seen:
            self._fill(event, (item_key, "call"), arguments_text(item.get("arguments") or item.get("input")), None)
            self._close((item_key, "call"))
        elif kind == "reasoning" and (item_key, "thinking") in self._seen:
            self._close((item_key, "thinking"), decode_item(item)[0])
        elif item:
            self._unannounced.discard(item_key)
            self._add_whole(item)

    def _finish_message(self, item_key: object, item: dict[str, Any]) -> None:
        parts = item.get("content")
        for index, whole in enumerate(parts if isinstance(parts, list) else ()):
            key = (item_key, f"part {index}")
            if key in self._seen:
                self._complete(key, whole)
            else:
                self._add_whole({"type": "message", "content": [whole]})
        for key in [key for key in self._parts if key[0] == item_key]:
            self._close(key)

    def _add_whole(self, item: dict[str, Any]) -> None:
        """Add an item that came at once."""
        for block in decode_item(item):
            self._start(_Event())
            self._events += block_events(self._next_index, block)
            self._next_index += 1
            self._content.append(block)

    def _finish(self, event: _Event) -> None:
        response = object_of(event.response)
        self._start(event)
        for key in list(self._parts):
            self._close(key)
        empty = not self._content
        for index, item in enumerate(objects(response.get("output"))):
            if empty or index in self._unannounced:
                self._add_whole(item)
                self._unannounced.discard(index)
        if self._unannounced:
            self._fail("The provider's stream contains arguments of a tool call that it did not begin")
            return
        self._over = True
        usage = decode_usage(
            response.get("usage"), response.get("service_tier"), count_searches(response.get("output"))
        )
        if usage is not None:
            self._events.append(UsageUpdate(usage=usage))
        status = response if "status" in response else {"status": str(event.type).rpartition(".")[2]}
        self._events += [Stop(reason=decode_stop(status, self._content), word=finish_reason_of(status)), Done()]

    def _fail_with(self, event: _Event) -> None:
        """End with the provider's own error in a response that failed."""
        response = object_of(event.response)
        message, error = read_error({"error": event.error or response.get("error")})
        self._fail(message or string(event.message) or "The provider's answer failed", error)


def _summary(event: _Event) -> tuple[bool, object]:
    return True, event.summary_index


def _reasoning(event: _Event) -> tuple[bool, object]:
    return False, event.content_index
