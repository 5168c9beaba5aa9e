"""What every dialect gets from its codec: reading requests and answers, and giving a stored answer in another form.

Nothing here knows a wire form. A dialect that has something faster or more exact for one of these functions puts that
beside its codec, with a test that it agrees with the one here (`tests/dialects/test_derived.py`). Begin reading at
`readers` and `DerivedReshape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from llmproxy.dialects.codec import Codec
from llmproxy.dialects.dialect import Readers
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.history import ASSISTANT, NO_HISTORY, TOOL, USER, History, Piece, add, call_of, substance
from llmproxy.dialects.members import parse
from llmproxy.dialects.model import (
    Block,
    Media,
    Message,
    Opaque,
    Refusal,
    Reply,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    has_content,
)
from llmproxy.dialects.provider_errors import BadReply
from llmproxy.dialects.reply_events import collect, events_of
from llmproxy.dialects.reshape import Reshape
from llmproxy.dialects.stream_events import Delta, Done, Event, Fail, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.stream_watch import MAX_TEXT
from llmproxy.dialects.summary import Summary, Watch
from llmproxy.errors import ProxyError
from llmproxy.wire.json import write_value


def readers(codec: Codec) -> Readers:
    """Return the readers of a dialect that has none of its own."""
    return Readers(
        summarize=partial(summarize, codec),
        watch=partial(DerivedWatch, codec),
        request_text=partial(request_text, codec),
        history=partial(history, codec),
    )


def summarize(codec: Codec, body: bytes, *, text: bool = False) -> Summary:
    """Read a whole plain answer. Its finish reason is the provider's word."""
    try:
        reply = codec.decode_response(body)
    except BadReply as error:
        return Summary(error=error.reported)
    return Summary(
        model=reply.model or None,
        usage=reply.usage,
        finish_reason=reply.stop_word or reply.stop,
        text=reply_text(reply) if text else None,
        complete=True,
    )


def reply_text(reply: Reply) -> str:
    """Return the text of an answer, or the words in which the model refused one."""
    return "".join(block.text for block in reply.content if isinstance(block, Text | Refusal))


class DerivedWatch(Watch):
    """Watches a stream by decoding all of it."""

    __slots__ = ("_decoder", "_spoken", "_texts", "started", "summary")

    def __init__(self, codec: Codec, *, text: bool = False) -> None:
        self.started = False
        self.summary = Summary()
        self._decoder = codec.stream_decoder()
        self._texts: list[str] | None = [] if text else None
        self._spoken: set[int] = set()

    def feed(self, data: bytes) -> None:
        for event in self._decoder.feed(data):
            self._take(event)

    def close(self) -> Summary:
        for event in self._decoder.close():
            if not isinstance(event, Fail):  # a stream that ends early is incomplete, which is not the provider's error
                self._take(event)
        if self._texts is not None:
            self.summary.text = "".join(self._texts)[:MAX_TEXT]
        return self.summary

    def _take(self, event: Event) -> None:
        summary = self.summary
        match event:
            case Start():
                summary.model, summary.usage = event.model or None, event.usage
            case Open():
                self._open(event)
            case Delta():
                self._say(event.index, event.text)
            case UsageUpdate():
                summary.usage = event.usage
            case Stop():
                summary.finish_reason = event.word or event.reason
            case Done():
                summary.complete = True
            case Fail():
                summary.error = event.message
            case _:
                pass

    def _open(self, event: Open) -> None:
        block = event.block
        self.started = self.started or has_content(block)
        if isinstance(block, Text | Refusal):
            self._spoken.add(event.index)
            self._say(event.index, block.text)

    def _say(self, index: int, text: str) -> None:
        self.started = self.started or bool(text)
        if text and self._texts is not None and index in self._spoken:
            self._texts.append(text)


def neutral_request(codec: Codec, body: bytes) -> Request | None:
    """Return a request in neutral form, also one that leaves its model to the path or to the provider; None when it
    cannot be read."""
    try:
        return _decoded(codec, parse(body))
    except ProxyError:
        return None


def neutral_reply(codec: Codec, body: bytes, *, stream: bool) -> Reply | None:
    """Return an answer in neutral form, a stream as far as it came; None when it cannot be read."""
    if not stream:
        try:
            return codec.decode_response(body)
        except BadReply:
            return None
    decoder = codec.stream_decoder()
    events = [event for event in (*decoder.feed(body), *decoder.close()) if not isinstance(event, Fail)]
    reply = collect(events)
    return reply if isinstance(reply, Reply) else None


def example_request(codec: Codec, model: str, text: str) -> bytes:
    """Write a request that says only `text`."""
    message = Message(role="user", content=[Text(text=text)])
    request = Request(dialect=codec.name, model=model, messages=[message])
    return write_value(codec.encode_request(request, codec.context(codec.name, Losses())))


def request_text(codec: Codec, body: bytes) -> str | None:
    """Return the conversation of a request, a line for each instruction, message and result of a tool (`role: text`);
    None when it cannot be read."""
    request = neutral_request(codec, body)
    if request is None:
        return None
    lines = [f"{each.role}: {_text_of(each.content)}" for each in request.system]
    return "\n".join([*lines, *(line for message in request.messages for line in _lines(message))])


def _decoded(codec: Codec, body: Mapping[str, Any]) -> Request | None:
    try:
        return codec.decode_request({"model": "unknown", **body})
    except (ProxyError, RecursionError):
        return None


def _lines(message: Message) -> Iterator[str]:
    results = [block for block in message.content if isinstance(block, ToolResult)]
    for result in results:
        yield f"tool: {_text_of(result.content)}"
    if not results or len(results) < len(message.content):
        yield f"{message.role}: {_text_of(message.content)}"


def _text_of(content: Sequence[Block]) -> str:
    return "".join(block.text for block in content if isinstance(block, Text | Refusal))


def history(codec: Codec, body: Mapping[str, Any]) -> History:
    """Return the pieces of a request, from its decoded JSON object; none when it cannot be read."""
    request = _decoded(codec, body)
    if request is None:
        return NO_HISTORY
    pieces: list[Piece] = []
    count = last = 0
    for message in request.messages:
        if message.role in ("user", "assistant"):
            count += 1
            last = len(pieces)
            _add_blocks(ASSISTANT if message.role == "assistant" else USER, message.content, pieces)
    return History(pieces, count, last)


def _add_blocks(speaker: str, content: Iterable[Block], pieces: list[Piece]) -> None:
    for block in content:
        match block:
            case Text() | Refusal():
                add(speaker, block.text, pieces)
            case ToolCall():
                pieces.append(call_of(block.name, block.arguments))
            case ToolResult():
                _add_blocks(TOOL, block.content, pieces)
            case Media():
                add(speaker, block.data or block.url or block.file_id or block.text, pieces)
            case Opaque():
                pieces.append((speaker, substance(block.value)))
            case Thinking():
                pass


class DerivedReshape(Reshape):
    """Gives stored answers in another form through the neutral vocabulary.

    Members that only the dialect knows are kept where its encoder writes `extra`; where that is not enough, the
    dialect has a reshaping of its own.
    """

    def __init__(self, codec: Codec, *, stream_fields: tuple[str, ...] = ("stream",)) -> None:
        self._codec = codec
        self.stream_fields = stream_fields

    def is_deterministic(self, request: Mapping[str, Any]) -> bool:
        decoded = _decoded(self._codec, request)
        return decoded is not None and (decoded.sampling.temperature == 0 or decoded.sampling.seed is not None)

    def counts_usage(self, request: Mapping[str, Any]) -> bool:
        decoded = _decoded(self._codec, request)
        return decoded is None or decoded.include_usage

    def says_something(self, reply: bytes) -> bool:
        decoded = neutral_reply(self._codec, reply, stream=False)
        return decoded is not None and any(not isinstance(block, Text) or block.text for block in decoded.content)

    def is_whole(self, stream: bytes) -> bool:
        return any(isinstance(event, Done) for event in self._events(stream))

    def stream_of(self, reply: bytes, *, usage: bool) -> bytes | None:
        decoded = neutral_reply(self._codec, reply, stream=False)
        if decoded is None or (usage and decoded.usage is None):
            return None
        encoder = self._codec.stream_encoder(self._request_for(decoded, stream=True, include_usage=usage))
        return encoder.encode(events_of(decoded), Losses())

    def reply_of(self, stream: bytes) -> bytes | None:
        events = self._events(stream)
        reply = collect(events)
        if not isinstance(reply, Reply) or reply.usage is None or not any(isinstance(each, Done) for each in events):
            return None
        reply.dialect = self._codec.name
        context = self._codec.context(reply.dialect, Losses())
        return write_value(self._codec.encode_response(reply, self._request_for(reply, stream=False), context))

    def _request_for(self, reply: Reply, *, stream: bool, include_usage: bool = True) -> Request:
        """Return a request that such an answer may be written for."""
        return Request(dialect=self._codec.name, model=reply.model, stream=stream, include_usage=include_usage)

    def _events(self, stream: bytes) -> list[Event]:
        decoder = self._codec.stream_decoder()
        return [*decoder.feed(stream), *decoder.close()]
