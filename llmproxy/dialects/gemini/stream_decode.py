"""A stream of streamGenerateContent, decoded into events of the neutral vocabulary.

Each frame is an answer with more parts; consecutive texts are one block, and so are consecutive thoughts. There is no
last event: the transport ends behind a chunk with a finish reason. The framing shows itself by its first byte: an
array, or server-sent events. Source: `google.genai.types.GenerateContentResponse`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.gemini.citations import decode_citations
from llmproxy.dialects.gemini.logprobs import decode_logprobs
from llmproxy.dialects.gemini.partial_calls import PartialCalls
from llmproxy.dialects.gemini.response_decode import (
    answer_parts,
    blocked_prompt,
    decode_stop,
    rest_of_candidate,
)
from llmproxy.dialects.gemini.tables import NAME
from llmproxy.dialects.gemini.usage import decode_usage
from llmproxy.dialects.lenient_json import objects, string
from llmproxy.dialects.model import Block, Refusal, Text, Thinking, ToolCall
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.reply_events import block_events
from llmproxy.dialects.stream_decode import StreamDecoder
from llmproxy.dialects.stream_events import Cite, Close, Delta, Done, Start, Stop, UsageUpdate
from llmproxy.wire.framing import Frame, FrameSplitter
from llmproxy.wire.json import read_value
from llmproxy.wire.json_array import JSON_ARRAY
from llmproxy.wire.sse import SSE


class EitherSplitter:
    """Cuts a stream in the framing in which it begins."""

    __slots__ = ("_splitter",)

    def __init__(self) -> None:
        self._splitter: FrameSplitter | None = None

    def feed(self, data: bytes) -> list[Frame]:
        if self._splitter is None:
            start = data.lstrip(b" \t\r\n\xef\xbb\xbf")[:1]
            if not start:
                return []
            self._splitter = (JSON_ARRAY if start == b"[" else SSE).splitter()
        return self._splitter.feed(data)

    def flush(self) -> list[Frame]:
        return [] if self._splitter is None else self._splitter.flush()


class GeminiStreamDecoder(StreamDecoder):
    """One stream. `_block` is the text, thought or refusal that grows, `_index` its index."""

    def __init__(self) -> None:
        super().__init__()
        self._splitter = EitherSplitter()
        self._block: Block | None = None
        self._index = -1
        self._signature: str | None = None
        self._text_index = -1
        self._text: list[str] = []
        self._called = False
        self._finish: Stop | None = None
        self._calls = PartialCalls()

    def _decode_frame(self, frame: Frame) -> None:
        value = read_value(frame.data)
        if not isinstance(value, dict):
            self._fail_unreadable(frame, "does not belong to an answer of generateContent")
            return
        if "error" in value and self._ends_with_error(frame):
            return
        if not value.keys() & {"candidates", "usageMetadata", "promptFeedback", "modelVersion", "responseId"}:
            self._read_error(frame)
            return
        try:
            self._decode_chunk(value)
        except BadReply as error:
            self._fail(error.message)

    def _decode_chunk(self, value: dict[str, Any]) -> None:
        usage = decode_usage(value)
        if not self._started:
            self._started = True
            self._id = string(value.get("responseId")) or ""
            model = string(value.get("modelVersion")) or ""
            self._events.append(Start(id=self._id, model=model, usage=usage))
        else:
            self._check_id(value.get("responseId"))
            if self._over:
                return
        for candidate in objects(value.get("candidates"))[:1]:
            self._decode_candidate(candidate)
        blocked = blocked_prompt(value)
        if blocked is not None:
            for block in blocked[1]:
                self._add(block)
            self._finish = Stop(reason="refusal", word=blocked[0])
        if usage is not None:
            self._events.append(UsageUpdate(usage=usage))

    def _decode_candidate(self, candidate: dict[str, Any]) -> None:
        logprobs = decode_logprobs(candidate.get("logprobsResult"))
        word = string(candidate.get("finishReason"))
        for block in answer_parts(candidate, self._calls, last=word is not None):
            if isinstance(block, Text) and logprobs is not None:
                block.logprobs, logprobs = logprobs, None
            self._add(block)
        if word is not None:
            self._finish = Stop(reason=decode_stop(word, called=self._called), word=word)
        citations = decode_citations(candidate, "".join(self._text)) if self._text_index >= 0 else []
        self._events += [Cite(index=self._text_index, citation=each) for each in citations]
        cited = [Text(text="", annotations=citations)]
        for name in rest_of_candidate(candidate, [*cited]):
            if not name.startswith("~"):
                self._lose(name)

    def _add(self, block: Block) -> None:
        """Add a block of a chunk: to the one of its kind that is open, or as a new one."""
        if isinstance(block, Text | Thinking | Refusal):
            if not block.text and not isinstance(block, Thinking) and self._block is None:
                return
            self._grow(block)
            return
        self._close()
        self._called = self._called or isinstance(block, ToolCall)
        self._events += block_events(self._next_index, block)
        self._next_index += 1

    def _grow(self, block: Text | Thinking | Refusal) -> None:
        if type(block) is not type(self._block):
            if not block.text and isinstance(block, Text):
                return  # it holds a signature alone
            self._close()
            self._block = _empty(block)
            self._index = self._open_block(self._block)
        if isinstance(block, Thinking):
            self._signature = block.signature or self._signature
        logprobs = None
        if isinstance(block, Text):
            logprobs = block.logprobs
            if self._text_index < 0:
                self._text_index = self._index
            self._text.append(block.text)
        if block.text or logprobs is not None:
            self._events.append(Delta(index=self._index, text=block.text, logprobs=logprobs))

    def _close(self) -> None:
        if self._block is not None:
            self._events.append(Close(index=self._index, signature=self._signature))
        self._block, self._signature = None, None

    def _end_early(self) -> None:
        """End the stream: well, if it gave a finish reason."""
        if self._finish is None:
            super()._end_early()
            return
        self._close()
        self._over = True
        self._events += [self._finish, Done()]


def _empty(block: Text | Thinking | Refusal) -> Block:
    """Return a block without its words, which follow as deltas."""
    if isinstance(block, Thinking):
        return Thinking(path=block.path, text="", dialect=NAME, summary=block.summary)
    return Text(path=block.path, text="") if isinstance(block, Text) else Refusal(path=block.path, text="")
