"""A stream of chat completion chunks, encoded from events.

The role comes first, then what the model makes as it makes it, a chunk with the finish reason, a chunk of usage without
choices when the client asked for it, and `[DONE]`. Everything of a chunk but its text is encoded once per stream, since
`_grow` is on the hot path of translation.
"""

from __future__ import annotations

from typing import Any

from llmproxy.dialects.chat.request_messages import call_object
from llmproxy.dialects.chat.response_encode import encode_citation, encode_head, encode_stop
from llmproxy.dialects.chat.stream_watch import DONE
from llmproxy.dialects.chat.tables import LEGACY
from llmproxy.dialects.chat.usage import encode_usage
from llmproxy.dialects.error_body import write_error_event
from llmproxy.dialects.model import Block, Citation, Refusal, Request, Text, Thinking, ToolCall
from llmproxy.dialects.response_fields import drop_stop_details, kind_of
from llmproxy.dialects.stream_encode import StreamEncoder, encode_string
from llmproxy.dialects.stream_events import Cite, Close, Delta, Fail, Open, Start, Stop
from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_unicode
from llmproxy.wire.sse import write_frame

_DELTA = b'"choices":[{"index":0,"delta":{'
_PLAIN = b'},"logprobs":null,"finish_reason":null}]'
_MEMBERS: dict[type[Block], bytes] = {
    Text: b'"content":',
    Thinking: b'"reasoning_content":',
    Refusal: b'"refusal":',
}


class ChatStreamEncoder(StreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._legacy = LEGACY in request.echo
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
        self._has_thinking = False

    def _grow(self, event: Delta) -> None:
        index = event.index
        before = self._before.get(index)
        if before is None:
            return  # of a block that was dropped
        if index in self._texts:
            self._length += len(event.text)
        if event.logprobs is not None:
            logprobs = write_unicode({"content": event.logprobs, "refusal": None})
            tail = b'},"logprobs":%b,"finish_reason":null}]%b' % (logprobs, self._tail)
            self._frames += (before, encode_string(event.text), tail)
        else:
            self._frames += (before, encode_string(event.text), self._after[index])

    def _start(self, event: Start) -> None:
        model = event.model or self._request.model
        head = write_unicode(encode_head(event.id, "chat.completion.chunk", event.created_s, model))
        self._head = b"data: %b," % head[:-1]
        self._put_delta(b'"role":"assistant","content":"","refusal":null')

    def _put_delta(self, delta: bytes) -> None:
        self._frames += (self._head, _DELTA, delta, self._plain_tail)

    def _open(self, event: Open) -> None:
        block = event.block
        match block:
            case Text() | Thinking() | Refusal():
                self._open_text(event.index, block)
            case ToolCall() if self._legacy:
                self._open_function(event.index, block)
            case ToolCall():
                self._open_call(event.index, block)
            case _:
                self._drop(kind_of(block))

    def _open_text(self, index: int, block: Text | Thinking | Refusal) -> None:
        if isinstance(block, Text):
            self._context.losses.drop_extra(block)
            self._texts.add(index)
            self._begins[index] = self._length
            if block.annotations:
                self._citations[index] = list(block.annotations)
        self._refused = self._refused or isinstance(block, Refusal)
        self._before[index] = self._head + _DELTA + _MEMBERS[type(block)]
        self._after[index] = self._plain_tail
        if isinstance(block, Thinking):
            self._separate_thinking(block)
        if block.text:
            self._grow(Delta(index=index, text=block.text))

    def _separate_thinking(self, block: Thinking) -> None:
        """Keep thinking apart from the thinking before, as whole answers do."""
        if block.redacted:
            self._drop("thinking")
        elif self._has_thinking:
            self._put_delta(b'"reasoning_content":"\\n\\n"')
        self._has_thinking = self._has_thinking or not block.redacted

    def _open_call(self, index: int, call: ToolCall) -> None:
        self._context.losses.drop_extra(call)
        number = self._calls
        self._calls += 1
        self._put_delta(b'"tool_calls":[%b]' % write_unicode({"index": number, **call_object(call, call.arguments)}))
        kind, member = (b"custom", b"input") if call.custom else (b"function", b"arguments")
        self._before[index] = b'%b%b"tool_calls":[{"index":%d,"%b":{"%b":' % (self._head, _DELTA, number, kind, member)
        self._after[index] = b"}}]" + self._plain_tail

    def _open_function(self, index: int, call: ToolCall) -> None:
        """Begin a call for a client that knows one call a turn."""
        self._calls += 1
        if self._calls > 1:
            self._drop("tool_call")
            return
        function = {"name": call.name, "arguments": call.arguments}
        self._put_delta(b'"function_call":%b' % write_unicode(function))
        self._before[index] = self._head + _DELTA + b'"function_call":{"arguments":'
        self._after[index] = b"}" + self._plain_tail

    def _cite(self, event: Cite) -> None:
        self._citations.setdefault(event.index, []).append(event.citation)

    def _close(self, event: Close) -> None:
        """End a block. Its citations wait for the others', as the SDK breaks off when two chunks have some."""
        self._before.pop(event.index, None)
        begin = self._begins.get(event.index, 0)
        for each in self._citations.pop(event.index, ()):
            annotation = encode_citation(each, begin, self._length - begin, self._context.losses)
            if annotation is not None:
                self._annotations.append(annotation)

    def _stop(self, event: Stop) -> None:
        if self._annotations:
            self._put_delta(b'"annotations":%b' % write_unicode(self._annotations))
        drop_stop_details(self._context.losses, event.reason, event.sequence)
        self.finish_reason = encode_stop(event.reason, refused=self._refused, legacy=self._legacy)
        reason = encode_string(self.finish_reason)
        finish = b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":%b}]' % reason
        self._frames += (self._head, finish, self._tail)

    def _end(self) -> None:
        if self._request.include_usage:
            usage = write_unicode(encode_usage(self._usage))
            self._frames += (self._head, b'"choices":[],"usage":', usage, b"}\n\n")
        self._frames.append(write_frame(DONE))

    def _fail(self, event: Fail) -> None:
        error = ProxyError(event.message, status=event.status, code=event.code)
        self._frames.append(write_error_event(error))
