"""A stream of streamGenerateContent, encoded from events of the neutral vocabulary.

Each text is a chunk; a call is one when its arguments are whole; finish reason and usage come last. Source:
`google.genai.types.GenerateContentResponse`. `_write_delta` is on the hot path of translation.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.call_arguments import encode_input
from llmproxy.dialects.gemini.citations import encode_citations
from llmproxy.dialects.gemini.content import encode_call
from llmproxy.dialects.gemini.error_body import error_json
from llmproxy.dialects.gemini.response_encode import (
    encode_answer_part,
    encode_thought,
    identity,
    shifted,
    shows_thoughts,
)
from llmproxy.dialects.gemini.tables import FINISH_WORDS
from llmproxy.dialects.gemini.usage import encode_usage
from llmproxy.dialects.model import Citation, Request, Text, Thinking, ToolCall
from llmproxy.dialects.ordered_blocks import OrderedBlock, OrderedStreamEncoder
from llmproxy.dialects.response_fields import drop_stop_details
from llmproxy.dialects.stream_encode import encode_string
from llmproxy.dialects.stream_events import Cite, Close, Fail, Start
from llmproxy.wire.json import write_unicode
from llmproxy.wire.sse import write_frame


class GeminiStreamEncoder(OrderedStreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._names = identity("", request.model)
        self._shown = shows_thoughts(request)
        self._after = b""
        self._set_after()
        self._lengths: dict[int, int] = {}
        self._length = 0
        self._texts: list[str] = []
        self._citations: list[Citation] = []

    def _set_after(self) -> None:
        """Set what stands behind the text of a delta."""
        names = write_unicode(self._names)[1:]
        self._after = b'}],"role":"model"},"index":0}],' + names + b"\n\n"

    def _start(self, event: Start) -> None:
        self._names = identity(event.id, event.model or self._request.model)
        self._set_after()

    def _write_delta(self, before: bytes, text: str) -> None:
        if before is not _THOUGHT:
            self._texts.append(text)
            self._length += len(text)
        elif not self._shown:
            return
        self._frames += (before, encode_string(text), self._after)

    def _begin_growing(self, block: OrderedBlock) -> bytes:
        if isinstance(block.block, Thinking):
            return _THOUGHT
        self._number(block)
        self._lengths[block.number] = self._length
        return _TEXT

    def _put(self, part: dict[str, Any]) -> None:
        candidate = {"content": {"parts": [part], "role": "model"}, "index": 0}
        self._frames.append(write_frame(write_unicode({"candidates": [candidate], **self._names})))

    def _begin_call(self, block: OrderedBlock, call: ToolCall) -> None:
        block.whole = True

    def _write_arguments(self, block: OrderedBlock, call: ToolCall, arguments: str) -> None:
        losses = self._context.losses
        losses.drop_extra(call)
        self._put(encode_call(call, encode_input(call, arguments, losses)))

    def _begin_other(self, block: OrderedBlock) -> None:
        part = encode_answer_part(block.block, self._context.losses, shown=self._shown)
        if part is not None:
            self._put(part)

    def _write_citation(self, block: OrderedBlock, event: Cite) -> None:
        if event.citation.url is None:
            self._drop("citation")
        elif isinstance(block.block, Text):
            self._citations += shifted([event.citation], self._lengths.get(block.number, self._length))

    def _finish_thinking(self, block: OrderedBlock, thinking: Thinking, event: Close) -> None:
        signed = encode_thought(thinking, "", event.signature) if self._shown else None
        if signed is not None:
            self._put(signed)

    def _end_block(self, block: OrderedBlock) -> None:
        """Do nothing: blocks have no end of their own."""

    def _end(self) -> None:
        self._close_all()
        stop = self._last_stop
        drop_stop_details(self._context.losses, stop.reason, stop.sequence)
        self.finish_reason = FINISH_WORDS[stop.reason]
        candidate: dict[str, Any] = {"content": {"parts": [{"text": ""}], "role": "model"}}
        candidate |= {"finishReason": self.finish_reason, "index": 0}
        candidate |= encode_citations(self._citations, "".join(self._texts)) if self._citations else {}
        chunk: dict[str, Any] = {"candidates": [candidate]}
        if self._usage is not None:
            chunk["usageMetadata"] = encode_usage(self._usage)
        self._frames.append(write_frame(write_unicode(chunk | self._names)))

    def _fail(self, event: Fail) -> None:
        self._frames.append(write_frame(error_json(event.message, event.status)))


_TEXT = b'data: {"candidates":[{"content":{"parts":[{"text":'
_THOUGHT = b'data: {"candidates":[{"content":{"parts":[{"thought":true,"text":'
