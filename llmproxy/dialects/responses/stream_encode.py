"""A stream of response events, encoded from events of the neutral vocabulary.

Every item is announced, grows and is finished by events of its own; texts that follow each other are parts of one
message item, which stays open until something else begins. The last event repeats the whole response. Begin reading at
`ResponsesStreamEncoder`; `_grow` is on the hot path of translation.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from llmproxy.dialects.model import Block, Opaque, Refusal, Request, StopReason, Text, Thinking, ToolCall
from llmproxy.dialects.response_fields import bare_id, drop_stop_details, kind_of
from llmproxy.dialects.responses.compaction import compaction_item, compacts
from llmproxy.dialects.responses.content import encode_citation
from llmproxy.dialects.responses.error_event import write_error_event
from llmproxy.dialects.responses.logprobs import without_bytes
from llmproxy.dialects.responses.response_decode import finish_reason_of
from llmproxy.dialects.responses.response_encode import (
    call_item,
    call_item_name,
    distinct_call_id,
    encode_error_code,
    encode_status,
    encode_stop,
    message_item,
    output_part,
    reasoning_item,
    response_object,
)
from llmproxy.dialects.stream_encode import StreamEncoder, encode_string
from llmproxy.dialects.stream_events import Cite, Close, Delta, Fail, Open, Start, Stop
from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_unicode

_DELTAS: dict[type[Block], str] = {
    Text: "response.output_text.delta",
    Refusal: "response.refusal.delta",
    Thinking: "response.reasoning_summary_text.delta",
}


class _Item:
    """An output item that has begun: its index, and its parts as far as they are whole."""

    __slots__ = ("index", "name", "parts", "unfinished")

    def __init__(self, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.parts: list[dict[str, Any]] = []
        self.unfinished = 0

    def position(self) -> dict[str, Any]:
        """Return the members by which events name the item."""
        return {"item_id": self.name, "output_index": self.index}


class _OpenBlock:
    """A block that grows. `before` is what its deltas have in front of the text, but for their number; None for one
    without deltas."""

    __slots__ = ("before", "block", "content_index", "item", "texts")

    def __init__(self, block: Text | Refusal | Thinking | ToolCall, item: _Item, content_index: int = 0) -> None:
        self.block = block
        self.item = item
        self.content_index = content_index
        self.before: bytes | None = b""
        self.texts: list[str] = []

    def position(self) -> dict[str, Any]:
        """Return the members by which events name the block."""
        match self.block:
            case Text() | Refusal():
                return {**self.item.position(), "content_index": self.content_index}
            case Thinking():
                return {**self.item.position(), "summary_index": 0}
            case ToolCall():
                return self.item.position()
            case _:
                assert_never(self.block)

    def prepare(self, kind: str) -> None:
        """Write the frame of deltas of this kind, up to their number."""
        head = write_unicode({"type": kind, **self.position()})[:-1]
        self.before = b'event: %b\ndata: %b,"sequence_number":' % (kind.encode(), head)


class ResponsesStreamEncoder(StreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._number = 0
        self._name = ""
        self._model = ""
        self._created_s: int | None = None
        self._output: list[dict[str, Any]] = []
        self._blocks: dict[int, _OpenBlock] = {}
        self._call_ids: set[str] = set()
        self._message: _Item | None = None
        self._call: tuple[_Item, dict[str, Any]] | None = None
        self._summary: list[str] | None = [] if compacts(request) else None
        self._summary_blocks: set[int] = set()
        self._refused = False
        self._reason: StopReason = "end"

    def _grow(self, event: Delta) -> None:
        open_block = self._blocks.get(event.index)
        if open_block is None:
            if self._summary is not None and event.index in self._summary_blocks:
                self._summary.append(event.text)
            return  # else a block that was dropped
        if not open_block.before:
            if open_block.before is None:
                open_block.texts.append(event.text)
                return
            if not event.text:
                return
            self._open_summary(open_block)
        block = open_block.block
        open_block.texts.append(event.text)
        number = b'%d,"delta":' % self._number
        self._number += 1
        tail = b"}\n\n"
        if isinstance(block, Text):
            tail = b',"logprobs":[]}\n\n'
            if event.logprobs:
                block.logprobs = [*(block.logprobs or []), *event.logprobs]
                tail = b',"logprobs":%b}\n\n' % write_unicode(without_bytes(event.logprobs))
        self._frames += (open_block.before, number, encode_string(event.text), tail)

    def _stop(self, event: Stop) -> None:
        self._reason = encode_stop(event.reason, refused=self._refused)
        if self._summary and any(self._summary):
            item = compaction_item(f"cmp_{self._name}", "".join(self._summary))
            self._end_item(self._add_item(item), item)
        self._end_call(encode_status(self._reason))
        drop_stop_details(self._context.losses, event.reason, event.sequence)
        self._end_message(encode_status(self._reason))

    def _end(self) -> None:
        self.response = response = self._response(self._reason)
        self.finish_reason = finish_reason_of(response)
        self._put(f"response.{response['status']}", {"response": response})

    def _fail(self, event: Fail) -> None:
        """End with two events: agents look for the response that failed, the official clients raise for `error`."""
        if self._name:
            error = {"code": encode_error_code(event.code, event.status), "message": event.message}
            self._put("response.failed", {"response": self._response(None, error)})
        failure = ProxyError(event.message, status=event.status, code=event.code)
        self._frames.append(write_error_event(failure, number=self._number))

    def _response(self, stop: StopReason | None, error: dict[str, Any] | None = None) -> dict[str, Any]:
        return response_object(
            self._request,
            name=self._name,
            model=self._model,
            created_s=self._created_s,
            output=self._output,
            stop=stop,
            usage=self._usage,
            error=error,
        )

    def _start(self, event: Start) -> None:
        self._name, self._model, self._created_s = bare_id(event.id), event.model, event.created_s
        response = self._response(None)
        self._created_s = response["created_at"]
        for kind in ("response.created", "response.in_progress"):
            self._put(kind, {"response": response})

    def _put(self, kind: str, members: dict[str, Any]) -> None:
        data = write_unicode({"type": kind, "sequence_number": self._number, **members})
        self._number += 1
        self._frames += (b"event: ", kind.encode(), b"\ndata: ", data, b"\n\n")

    def _add_item(self, item: dict[str, Any]) -> _Item:
        """Announce an item of the output."""
        index = len(self._output)
        self._output.append(item)
        self._put("response.output_item.added", {"output_index": index, "item": item})
        return _Item(index, item["id"])

    def _open(self, event: Open) -> None:
        block, name = event.block, f"{self._name}_{len(self._output)}"
        if self._summary is not None:
            self._open_compacted(self._summary, event)
            return
        self._end_call()
        match block:
            case Text() | Refusal():
                self._open_part(event.index, block)
            case ToolCall():
                self._open_call(event.index, block, name)
            case Thinking():
                self._end_message()
                item = self._add_item({"id": block.id or f"rs_{name}", "type": "reasoning", "summary": []})
                self._blocks[event.index] = _OpenBlock(block, item)
                if block.text:
                    self._grow(Delta(index=event.index, text=block.text))
            case Opaque(dialect="responses"):
                self._end_message()
                whole = block.value | {"id": block.value.get("id") or f"it_{name}"}
                self._end_item(self._add_item(whole), whole)
            case _:
                self._drop(kind_of(block))

    def _open_compacted(self, summary: list[str], event: Open) -> None:
        """Take a text into the one item that stands for the conversation, which has no place for anything else."""
        if isinstance(event.block, Text):
            summary.append(event.block.text)
            self._summary_blocks.add(event.index)
        elif not isinstance(event.block, Thinking):
            self._drop(kind_of(event.block))

    def _open_call(self, index: int, call: ToolCall, name: str) -> None:
        self._end_message()
        call = msgspec.structs.replace(call, id=distinct_call_id(call.id, self._call_ids))
        empty = msgspec.structs.replace(call, arguments="")
        item = self._add_item(call_item(call_item_name(call, name), empty, self._context, done=False))
        open_block = self._blocks[index] = _OpenBlock(call, item)
        if call.kind is not None:
            open_block.before = None  # its arguments come whole, with the item
            open_block.texts.append(call.arguments)
            return
        kind = "custom_tool_call_input" if call.custom else "function_call_arguments"
        open_block.prepare(f"response.{kind}.delta")
        if call.arguments:
            self._grow(Delta(index=index, text=call.arguments))

    def _open_part(self, index: int, block: Text | Refusal) -> None:
        item = self._message
        if item is None:
            name = f"msg_{self._name}_{len(self._output)}"
            item = self._message = self._add_item(message_item(name, [], "in_progress"))
        empty = Text(text="", extra=block.extra) if isinstance(block, Text) else Refusal(text="", extra=block.extra)
        self._refused = self._refused or isinstance(block, Refusal)
        open_block = self._blocks[index] = _OpenBlock(empty, item, len(item.parts))
        part = output_part(empty, self._context)
        item.parts.append(part)
        item.unfinished += 1
        self._put("response.content_part.added", {**open_block.position(), "part": part})
        open_block.prepare(_DELTAS[type(empty)])
        if block.text:
            logprobs = block.logprobs if isinstance(block, Text) else None
            self._grow(Delta(index=index, text=block.text, logprobs=logprobs))
        if isinstance(block, Text):
            for citation in block.annotations:
                self._cite(Cite(index=index, citation=citation))

    def _open_summary(self, open_block: _OpenBlock) -> None:
        """Announce the one part of a summary, which shows thinking once it has words."""
        part = {"type": "summary_text", "text": ""}
        self._put("response.reasoning_summary_part.added", {**open_block.position(), "part": part})
        open_block.prepare(_DELTAS[Thinking])

    def _cite(self, event: Cite) -> None:
        open_block = self._blocks.get(event.index)
        if open_block is None or not isinstance(open_block.block, Text):
            return
        annotation = encode_citation(event.citation, "".join(open_block.texts), self._context.losses)
        if annotation is not None:
            number = len(open_block.block.annotations)
            open_block.block.annotations.append(event.citation)
            members = {**open_block.position(), "annotation_index": number, "annotation": annotation}
            self._put("response.output_text.annotation.added", members)

    def _close(self, event: Close) -> None:
        open_block = self._blocks.pop(event.index, None)
        if open_block is None:
            return
        text, block = "".join(open_block.texts), open_block.block
        self._end_call()
        match block:
            case Text() | Refusal():
                self._close_part(open_block, block, text)
            case ToolCall():
                self._close_call(open_block, block, text)
            case Thinking():
                self._close_thinking(open_block, block, text, event)
            case _:
                assert_never(block)

    def _close_part(self, open_block: _OpenBlock, block: Text | Refusal, text: str) -> None:
        item = open_block.item
        part = output_part(msgspec.structs.replace(block, text=text), self._context)
        item.parts[open_block.content_index] = part
        item.unfinished -= 1
        position = open_block.position()
        if isinstance(block, Text):
            logprobs = without_bytes(block.logprobs or [])
            self._put("response.output_text.done", {**position, "text": text, "logprobs": logprobs})
        else:
            self._put("response.refusal.done", {**position, "refusal": text})
        self._put("response.content_part.done", {**position, "part": part})
        if item is not self._message and not item.unfinished:
            self._end_item(item, message_item(item.name, item.parts))

    def _close_call(self, open_block: _OpenBlock, call: ToolCall, text: str) -> None:
        item = open_block.item
        if call.kind is not None:
            pass
        elif call.custom:
            self._put("response.custom_tool_call_input.done", {**item.position(), "input": text})
        else:
            members = {**item.position(), "name": call.name, "arguments": text}
            self._put("response.function_call_arguments.done", members)
        self._call = item, call_item(item.name, msgspec.structs.replace(call, arguments=text), self._context)

    def _end_call(self, status: str = "completed") -> None:
        """End the last call. It waits for what follows, which says whether the model was cut short in it."""
        if self._call is not None:
            (item, whole), self._call = self._call, None
            self._end_item(item, whole | {"status": status} if "status" in whole else whole)

    def _close_thinking(self, open_block: _OpenBlock, block: Thinking, text: str, event: Close) -> None:
        self._context.losses.drop_extra(block)
        # As it was shown: one part of a summary.
        whole = Thinking(
            text=text,
            dialect=block.dialect,
            encrypted=event.encrypted or block.encrypted,
            summary=True,
            field=block.field,
        )
        if text:
            position, part = open_block.position(), {"type": "summary_text", "text": text}
            self._put("response.reasoning_summary_text.done", {**position, "text": text})
            self._put("response.reasoning_summary_part.done", {**position, "part": part})
        item = open_block.item
        self._end_item(item, reasoning_item(item.name, whole, self._context))

    def _end_message(self, status: str = "completed") -> None:
        """End the message item, unless a part of it still grows; what follows begins another one."""
        item, self._message = self._message, None
        if item is not None and not item.unfinished:
            self._end_item(item, message_item(item.name, item.parts, status))

    def _end_item(self, item: _Item, whole: dict[str, Any]) -> None:
        self._output[item.index] = whole
        self._put("response.output_item.done", {"output_index": item.index, "item": whole})
