"""Writing a stream of response events.

Every item is announced, grows and is finished by events of its own; texts that follow each other are parts of one
message item, which stays open until something else begins. The last event repeats the whole response. Begin reading at
`Encoder.encode`, which is on the hot path of translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmproxy.dialects.codec import Losses, StreamEncoder
from llmproxy.dialects.model import (
    Block,
    Cite,
    Close,
    Delta,
    Done,
    Event,
    Fail,
    Lost,
    Opaque,
    Open,
    Refusal,
    Request,
    Start,
    Stop,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Usage,
    UsageUpdate,
)
from llmproxy.dialects.responses.content import write_citation
from llmproxy.dialects.responses.error_event import write_error_event
from llmproxy.dialects.responses.logprobs import unspelled
from llmproxy.dialects.responses.response_encode import (
    CALL_ID,
    bare_id,
    call_item,
    distinct_id,
    error_code,
    kind_of,
    message_item,
    note_stop,
    reasoning_item,
    said_part,
    state_of,
    told_stop,
    write_response,
)
from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_value

_DELTAS: dict[type[Block], str] = {
    Text: "response.output_text.delta",
    Refusal: "response.refusal.delta",
    Thinking: "response.reasoning_summary_text.delta",
}


class _Item:
    """An output item that has begun: where it stands, and its parts as far as they are whole."""

    __slots__ = ("index", "name", "parts", "unfinished")

    def __init__(self, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.parts: list[dict[str, Any]] = []
        self.unfinished = 0


class _Grown:
    """A block that grows. `before` is what its deltas have in front of the text, but for their number."""

    __slots__ = ("before", "block", "content_index", "item", "texts")

    def __init__(self, block: Block, item: _Item, content_index: int) -> None:
        self.block = block
        self.item = item
        self.content_index = content_index
        self.before = b""
        self.texts: list[str] = []


class Encoder(StreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._number = 0
        self._name = ""
        self._model = ""
        self._created_s: int | None = None
        self._output: list[dict[str, Any]] = []
        self._grown: dict[int, _Grown] = {}
        self._call_ids: set[str] = set()
        self._message: _Item | None = None
        self._call: tuple[_Item, dict[str, Any]] | None = None
        self._refused = False
        self._stop: StopReason = "end"
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
        grown = self._grown.get(delta.index)
        if grown is None:
            return  # of a block that was listed as lost
        if not grown.before:
            if not delta.text:
                return
            self._open_summary(frames, grown)
        grown.texts.append(delta.text)
        if isinstance(grown.block, Text) and delta.logprobs:
            grown.block.logprobs = [*(grown.block.logprobs or []), *delta.logprobs]
        number = b'%d,"delta":' % self._number
        self._number += 1
        if isinstance(grown.block, Text):
            tail = b',"logprobs":%b}\n\n' % (write_value(unspelled(delta.logprobs)) if delta.logprobs else b"[]")
        else:
            tail = b"}\n\n"
        frames += (grown.before, number, _encode(delta.text), tail)

    def _turn(self, frames: list[bytes], event: Event, losses: Losses) -> None:
        match event:
            case Start():
                self._start(frames, event)
            case Open():
                self._open(frames, event, losses)
            case Cite():
                self._cite(frames, event, losses)
            case Close():
                self._close(frames, event, losses)
            case UsageUpdate():
                self._usage = event.usage
            case _:
                self._finish(frames, event, losses)

    def _finish(self, frames: list[bytes], event: Event, losses: Losses) -> None:
        match event:
            case Stop():
                self._stop = told_stop(event.reason, refused=self._refused)
                self._end_call(frames, state_of(self._stop))
                note_stop(event.reason, event.sequence, losses)
                self._end_message(frames, state_of(self._stop))
            case Done():
                response = self._response(self._stop)
                self._put(frames, f"response.{response['status']}", {"response": response})
            case Fail():
                self._fail(frames, event)
            case Lost():
                losses.drop(f"reply.{event.what}")
            case _:
                pass

    def _fail(self, frames: list[bytes], failure: Fail) -> None:
        """Twice: agents look for the response that failed, the official clients raise for the event `error`."""
        if self._name:
            error = {"code": error_code(failure.code, failure.status), "message": failure.message}
            self._put(frames, "response.failed", {"response": self._response(None, error)})
        error_ = ProxyError(failure.message, status=failure.status, code=failure.code)
        frames.append(write_error_event(error_, number=self._number))

    def _response(self, stop: StopReason | None, error: dict[str, Any] | None = None) -> dict[str, Any]:
        return write_response(
            self._request,
            name=self._name,
            model=self._model,
            created_s=self._created_s,
            output=self._output,
            stop=stop,
            usage=self._usage,
            error=error,
        )

    def _start(self, frames: list[bytes], start: Start) -> None:
        self._name, self._model, self._created_s = bare_id(start.id), start.model, start.created_s
        self._usage = start.usage
        begun = self._response(None)
        self._created_s = begun["created_at"]
        for kind in ("response.created", "response.in_progress"):
            self._put(frames, kind, {"response": begun})

    def _put(self, frames: list[bytes], kind: str, members: dict[str, Any]) -> None:
        data = write_value({"type": kind, "sequence_number": self._number, **members})
        self._number += 1
        frames += (b"event: ", kind.encode(), b"\ndata: ", data, b"\n\n")

    def _add(self, frames: list[bytes], item: dict[str, Any]) -> _Item:
        """Announce an item; its place in the output is kept."""
        index = len(self._output)
        self._output.append(item)
        self._put(frames, "response.output_item.added", {"output_index": index, "item": item})
        return _Item(index, item["id"])

    def _open(self, frames: list[bytes], event: Open, losses: Losses) -> None:
        block, number = event.block, len(self._output)
        self._end_call(frames)
        match block:
            case Text() | Refusal():
                grown = self._open_part(frames, block, losses)
            case ToolCall():
                self._end_message(frames)
                block = msgspec.structs.replace(block, id=distinct_id(block.id, self._call_ids))
                name = f"{CALL_ID[block.custom]}_{self._name}_{number}"
                item = self._add(
                    frames, call_item(name, msgspec.structs.replace(block, arguments=""), losses, done=False)
                )
                grown = _Grown(block, item, 0)
                kind = "custom_tool_call_input" if block.custom else "function_call_arguments"
                grown.before = self._before(f"response.{kind}.delta", grown)
            case Thinking():
                self._end_message(frames)
                name = block.id or f"rs_{self._name}_{number}"
                item = self._add(frames, {"id": name, "type": "reasoning", "summary": []})
                grown = _Grown(block, item, 0)
            case Opaque(dialect="responses"):
                self._end_message(frames)
                whole = block.value | {"id": block.value.get("id") or f"it_{self._name}_{number}"}
                self._end_item(frames, self._add(frames, whole), whole)
                return
            case _:
                losses.drop(f"reply.{kind_of(block)}")
                return
        self._grown[event.index] = grown
        text = block.arguments if isinstance(block, ToolCall) else block.text
        if text:
            likely = block.logprobs if isinstance(block, Text) else None
            self._grow(frames, Delta(index=event.index, text=text, logprobs=likely))
        for citation in block.annotations if isinstance(block, Text) else ():
            self._cite(frames, Cite(index=event.index, citation=citation), losses)

    def _open_part(self, frames: list[bytes], block: Text | Refusal, losses: Losses) -> _Grown:
        item = self._message
        if item is None:
            name = f"msg_{self._name}_{len(self._output)}"
            item = self._message = self._add(frames, message_item(name, [], "in_progress"))
        empty = Text(text="", extra=block.extra) if isinstance(block, Text) else Refusal(text="", extra=block.extra)
        self._refused = self._refused or isinstance(block, Refusal)
        grown = _Grown(empty, item, len(item.parts))
        part = said_part(empty, losses)
        item.parts.append(part)
        item.unfinished += 1
        self._put(frames, "response.content_part.added", {**self._place(grown), "part": part})
        grown.before = self._before(_DELTAS[type(empty)], grown)
        return grown

    def _open_summary(self, frames: list[bytes], grown: _Grown) -> None:
        """Thinking shows itself as the one part of a summary, once it has words."""
        part = {"type": "summary_text", "text": ""}
        place = {"item_id": grown.item.name, "output_index": grown.item.index, "summary_index": 0}
        self._put(frames, "response.reasoning_summary_part.added", {**place, "part": part})
        grown.before = self._before(_DELTAS[Thinking], grown)

    def _place(self, grown: _Grown) -> dict[str, Any]:
        item = grown.item
        return {"item_id": item.name, "output_index": item.index, "content_index": grown.content_index}

    def _before(self, kind: str, grown: _Grown) -> bytes:
        """A delta's frame up to its number."""
        item = grown.item
        place: dict[str, Any] = {"type": kind, "item_id": item.name, "output_index": item.index}
        if isinstance(grown.block, Thinking):
            place["summary_index"] = 0
        elif not isinstance(grown.block, ToolCall):
            place["content_index"] = grown.content_index
        return b'event: %b\ndata: %b,"sequence_number":' % (kind.encode(), write_value(place)[:-1])

    def _cite(self, frames: list[bytes], event: Cite, losses: Losses) -> None:
        grown = self._grown.get(event.index)
        if grown is None or not isinstance(grown.block, Text):
            return
        annotation = write_citation(event.citation, "".join(grown.texts), losses)
        if annotation is not None:
            number = len(grown.block.annotations)
            grown.block.annotations.append(event.citation)
            place = {**self._place(grown), "annotation_index": number, "annotation": annotation}
            self._put(frames, "response.output_text.annotation.added", place)

    def _close(self, frames: list[bytes], event: Close, losses: Losses) -> None:
        grown = self._grown.pop(event.index, None)
        if grown is None:
            return
        text, block = "".join(grown.texts), grown.block
        self._end_call(frames)
        match block:
            case Text() | Refusal():
                self._close_part(frames, grown, block, text, losses)
            case ToolCall():
                self._close_call(frames, grown, block, text, losses)
            case Thinking():
                self._close_thinking(frames, grown, msgspec.structs.replace(block, text=text), event, losses)
            case _:
                pass

    def _close_part(self, frames: list[bytes], grown: _Grown, block: Text | Refusal, text: str, losses: Losses) -> None:
        part = said_part(msgspec.structs.replace(block, text=text), losses)
        grown.item.parts[grown.content_index] = part
        grown.item.unfinished -= 1
        place = self._place(grown)
        if isinstance(block, Text):
            likely = unspelled(block.logprobs or [])
            self._put(frames, "response.output_text.done", {**place, "text": text, "logprobs": likely})
        else:
            self._put(frames, "response.refusal.done", {**place, "refusal": text})
        self._put(frames, "response.content_part.done", {**place, "part": part})
        if grown.item is not self._message and not grown.item.unfinished:
            self._end_item(frames, grown.item, message_item(grown.item.name, grown.item.parts))

    def _close_call(self, frames: list[bytes], grown: _Grown, block: ToolCall, text: str, losses: Losses) -> None:
        item = grown.item
        place = {"item_id": item.name, "output_index": item.index}
        if block.custom:
            self._put(frames, "response.custom_tool_call_input.done", {**place, "input": text})
        else:
            self._put(frames, "response.function_call_arguments.done", {**place, "name": block.name, "arguments": text})
        self._call = item, call_item(item.name, msgspec.structs.replace(block, arguments=text), losses)

    def _end_call(self, frames: list[bytes], status: str = "completed") -> None:
        """The last call is whole. It waits for what follows, which says whether the model was cut short in it."""
        if self._call is not None:
            (item, whole), self._call = self._call, None
            self._end_item(frames, item, whole | {"status": status} if "status" in whole else whole)

    def _close_thinking(
        self, frames: list[bytes], grown: _Grown, block: Thinking, event: Close, losses: Losses
    ) -> None:
        item = grown.item
        # As it was shown: one part of a summary.
        sealed = event.encrypted or block.encrypted
        whole = Thinking(text=block.text, dialect=block.dialect, encrypted=sealed, summary=True, field=block.field)
        losses.drop_extra(block)
        if block.text:
            place = {"item_id": item.name, "output_index": item.index, "summary_index": 0}
            part = {"type": "summary_text", "text": block.text}
            self._put(frames, "response.reasoning_summary_text.done", {**place, "text": block.text})
            self._put(frames, "response.reasoning_summary_part.done", {**place, "part": part})
        self._end_item(frames, item, reasoning_item(item.name, whole, losses))

    def _end_message(self, frames: list[bytes], status: str = "completed") -> None:
        """The message item is whole, unless a part of it still grows; what follows begins another one."""
        item, self._message = self._message, None
        if item is not None and not item.unfinished:
            self._end_item(frames, item, message_item(item.name, item.parts, status))

    def _end_item(self, frames: list[bytes], item: _Item, whole: dict[str, Any]) -> None:
        self._output[item.index] = whole
        self._put(frames, "response.output_item.done", {"output_index": item.index, "item": whole})


def _encode(text: str) -> bytes:
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return write_value(text)
