"""From one dialect to another, through the neutral vocabulary: a request, a whole reply, a stream.

Pure functions on bytes and values, without targets and connections. Begin reading at `Translation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec

from llmproxy.dialects.codec import Codec
from llmproxy.dialects.custom_tools import CustomCalls
from llmproxy.dialects.encode_context import Losses, NeedsAllMessages, Options
from llmproxy.dialects.members import parse
from llmproxy.dialects.model import (
    Block,
    Format,
    Media,
    Reasoning,
    Reply,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    has_content,
)
from llmproxy.dialects.name_limits import ToolNames
from llmproxy.dialects.reply_events import collect, events_of
from llmproxy.dialects.stream_events import Close, Delta, Done, Event, Fail, Lost, Open, Start, Stop, UsageUpdate
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.tool_results import move_results
from llmproxy.errors import BadRequest, ProxyError, UpstreamError
from llmproxy.translation.reasoning_store import KeptReasoning, drop_foreign, lacks_reasoning, restore
from llmproxy.translation.repeated_turns import (
    KeptTurns,
    begin_keeping,
    begins_with_model,
    ends_with_user,
    ids_in,
    is_repeatable,
    item_index,
    place_to_cut,
    write_turns,
)
from llmproxy.wire.framing import Framing
from llmproxy.wire.json import write_unicode
from llmproxy.wire.sse import SSE

# What services send in front of a whole answer while the model works: white space, or events without content. The loops
# give nothing back: with 50 MB of blanks, what they could give back held up everybody for ten seconds.
_SIGNS_OF_LIFE = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n]++|(?::[^\r\n]*+|data:[ \t]*+)(?:\r\n|\n|\r))*+")
# The tool that stands for structured output where a service has none.
ANSWER_TOOL = "structured_answer"
_ANSWER_DESCRIPTION = "Gives the final answer in the required form. Call it once, when the answer is known."


def read_request(codec: Codec, body: bytes) -> Request:
    """Decode a client's request. Raises BadRequest with the JSON path of what is wrong."""
    return codec.decode_request(parse(body))


class Translation:
    """One request from a client that speaks `client` to a provider that speaks `provider`, and its answer back.

    `reasoning` holds what was kept of earlier replies, by tool call, `owner` names who accepts it; `reply_id` replaces
    the provider's reply id, `framing` is that of the provider's streams. `summary` describes the answer so far, in
    the words of the client's dialect, with the usage that the provider counted, also where the client did not ask
    for it. `response` is the whole answer as an object, where the client's dialect has one. `content` holds the
    blocks of a whole reply, as the provider sent it: of a stream only the thinking and the tool calls.

    With `repeats`, the beginning of the conversation is written on its own, and `kept` has it for the next turn. Where
    `kept` is given, the request has only the messages behind it.
    """

    def __init__(
        self,
        request: Request,
        client: Codec,
        provider: Codec,
        *,
        options: Options,
        strict: bool,
        reasoning: Mapping[str, KeptReasoning] = MappingProxyType({}),
        owner: str = "",
        reply_id: str | None = None,
        framing: Framing = SSE,
        repeats: bool = False,
        kept: KeptTurns | None = None,
    ) -> None:
        self.losses = Losses(strict=strict)
        self.summary = Summary()
        self.response: dict[str, Any] | None = None
        self._request = request
        self._client = client
        self._provider = provider
        self._options = options
        self.content: list[Block] = []
        self.reply_id = reply_id
        self._framing = framing
        self._reasoning = reasoning
        self._owner = owner
        self._repeats = repeats and not strict and bool(provider.turns) and request.dialect != provider.name
        self.kept = kept
        self._by_tool = False
        self._names = ToolNames(provider.longest_tool_name)

    def request(self, model: str) -> bytes:
        """Return the body for the provider, which calls the model `model`. Raises BadRequest for what it lacks, and
        NeedsAllMessages where the request has its last messages alone, and those are not enough."""
        try:
            written = self._request_in_pieces(model) if self._repeats else None
            return write_unicode(self._encode(self._request, model)) if written is None else written
        except RecursionError:
            raise BadRequest("The request is nested too deeply", code="invalid_json") from None

    def _request_in_pieces(self, model: str) -> bytes | None:
        """Return the body, whose beginning was kept or can be kept now; None where it must be written at once."""
        request, kept = self._request, self.kept
        if kept is not None and not kept.ids.keys().isdisjoint(ids_in(request.messages)):
            raise NeedsAllMessages
        at = place_to_cut(request.messages)
        longer = self._add_piece(request, at, kept, model) if at else None
        if longer is not None:
            request = msgspec.structs.replace(request, messages=request.messages[at:])
        before = longer or kept
        if before is None:
            return None
        self.losses.add(before.dropped, before.adapted)
        try:
            written = write_turns(self._encode(request, model, before), self._provider.turns, before.pieces)
        except (NeedsAllMessages, BadRequest):
            if kept is not None:
                raise
            self.losses, self._by_tool = Losses(), False
            self._names = ToolNames(self._provider.longest_tool_name)
            return None
        self.kept = before
        return written

    def _add_piece(self, request: Request, at: int, kept: KeptTurns | None, model: str) -> KeptTurns | None:
        """Return what is kept, with the first `at` messages of `request`; None where those cannot stand alone."""
        messages, ids = request.messages[:at], ids_in(request.messages[:at])
        whole = is_repeatable(messages) and self._names.accepts(messages)
        if not whole or not ids.isdisjoint(ids_in(request.messages[at:])):
            return None
        options = replace(self._options, prompt_cache="off")
        part = Request(dialect=request.dialect, model=model, messages=messages)
        losses = Losses()
        part.messages = move_results(messages, losses)
        restore(part, drop_foreign(part, self._reasoning, self._owner, losses))
        lacks = lacks_reasoning(part, self._provider.seal)
        context = self._provider.context(request.dialect, losses, options, continued=kept is not None, piece=True)
        try:
            encoded = self._provider.encode_request(part, context)[self._provider.turns]
        except (NeedsAllMessages, BadRequest):
            return None
        if not ends_with_user(encoded) or (kept is not None and not begins_with_model(encoded)):
            return None
        before = begin_keeping(request, self._client.turns, self._options) if kept is None else kept
        longer = before.extended(item_index(request.messages[at], self._client.turns), encoded, losses, ids, lacks)
        return longer if longer.is_worth_keeping else None

    def _encode(self, request: Request, model: str, kept: KeptTurns | None = None) -> dict[str, Any]:
        """Return the body of a request, whose messages follow what is kept."""
        reasoning = drop_foreign(request, self._reasoning, self._owner, self.losses)
        messages = move_results(list(request.messages), self.losses)
        request = msgspec.structs.replace(request, model=model, messages=messages)
        restore(request, reasoning)
        if self._provider.needs_thinking(model) and self._lacks_thinking(request, kept):
            self._disable_thinking(request)
        if request.format is not None and self._options.structured_output == "tool":
            self._request_format_by_tool(request, request.format)
        if request.dialect != self._provider.name:
            self._names.replace(request)
        context = self._provider.context(request.dialect, self.losses, self._options, continued=kept is not None)
        return self._provider.encode_request(request, context)

    def _lacks_thinking(self, request: Request, kept: KeptTurns | None) -> bool:
        lacks = lacks_reasoning(request, self._provider.seal)
        if lacks is None and kept is not None:
            lacks = kept.end.lacks_thinking
        return lacks is True

    def linked_media(self) -> list[Media]:
        """Return the media that the client sent as a URL and that the provider accepts only inside the request."""
        return [
            media
            for message in self._request.messages
            for block in message.content
            if type(block) is not Text
            for media in _media([block])
            if media.url is not None and not self._takes_url(media.kind)
        ]

    def _takes_url(self, kind: str) -> bool:
        named = kind in self._provider.takes_url or (kind == "document" and self._options.document_url)
        return named and self._options.media_urls

    def reply(self, body: bytes) -> bytes:
        """Return a provider's whole reply in the client's dialect. Raises BadReply."""
        reply = self._decode(body)
        self.content = reply.content
        reply.id = self.reply_id or reply.id
        if self._by_tool:
            reply = _with_answer_as_text(reply)
        reply.content = CustomCalls(self._request).restore(self._names.restore(reply.content))
        self.losses.strict = False
        context = self._client.context(reply.dialect, self.losses)
        self.response = self._client.encode_response(reply, self._request, context)
        summary = self.summary
        summary.model, summary.usage = reply.model or self._request.model, reply.usage
        summary.finish_reason = self._client.finish_reason_of(self.response) or reply.stop
        summary.upstream_finish_reason = reply.stop_word
        self.note_stop(reply.stop_word)
        return write_unicode(self.response)

    def note_stop(self, word: str | None) -> None:
        """List the provider's finish reason if nobody knows it."""
        unknown = self._provider.unknown_stop(word)
        if unknown is not None:
            self.losses.drop(f"reply.{unknown}")

    def reply_as_stream(self, body: bytes) -> bytes:
        """Return the same as a stream, for a provider that does not stream."""
        return self.stream().encode(events_of(self._decode(body)))

    def _decode(self, body: bytes) -> Reply:
        """Return a provider's whole answer. Some stream although the request does not say so."""
        before = _SIGNS_OF_LIFE.match(body)
        body = body if before is None else body[before.end() :]
        if not self._framing.begins(body):
            return self._provider.decode_response(body)
        decoder = self._provider.stream_decoder()
        events = [*decoder.feed(body), *decoder.close()]
        reply = collect(events)
        if isinstance(reply, Fail):
            raise UpstreamError(reply.message, status=reply.status, code=reply.code)
        self.losses.strict = False
        for event in events:
            if isinstance(event, Lost):
                self.losses.drop(f"reply.{event.what}")
        return reply

    def error(self, status: int, body: bytes) -> ProxyError:
        """Return the error in the provider's answer of status 400 and more."""
        return self._provider.decode_error(status, body)

    def stream(self) -> StreamTranslation:
        """Return the translation of the provider's stream into the client's."""
        self.losses.strict = False
        return StreamTranslation(self, self._client, self._provider, self._request, self._names, by_tool=self._by_tool)

    def _disable_thinking(self, request: Request) -> None:
        """Turn thinking off and list that: the provider refuses to think in a turn whose earlier thinking is lost."""
        reasoning = request.reasoning
        if reasoning.mode in (None, "off") and reasoning.effort in (None, "none") and reasoning.budget_tokens is None:
            return
        for name in ("mode", "effort", "budget_tokens", "summary"):
            if getattr(reasoning, name) is not None:
                self.losses.drop(request.where(name) if name in request.paths else "reasoning")
        request.reasoning = Reasoning(mode="off")

    def _request_format_by_tool(self, request: Request, form: Format) -> None:
        """Ask for the answer as the arguments of a tool that must be called.

        Where the client has tools of its own, the model may also call one of them.
        """
        schema = form.schema if form.schema is not None else {"type": "object"}
        description = form.description or _ANSWER_DESCRIPTION
        tool = Tool(name=ANSWER_TOOL, description=description, schema=schema, strict=form.strict)
        choice = ToolChoice(mode="required") if request.tools else ToolChoice(mode="tool", name=ANSWER_TOOL)
        request.tools = [*request.tools, tool]
        request.tool_choice = choice
        request.format = None
        self._by_tool = True


def _media(content: list[Block]) -> Iterator[Media]:
    for block in content:
        if isinstance(block, Media):
            yield block
        elif isinstance(block, ToolResult):
            yield from _media(block.content)


def _with_answer_as_text(reply: Reply) -> Reply:
    """Return the reply with the answer tool's arguments as its text."""
    content: list[Block] = [
        Text(text=block.arguments) if isinstance(block, ToolCall) and block.name == ANSWER_TOOL else block
        for block in reply.content
    ]
    calls = any(isinstance(block, ToolCall) for block in content)
    stop = "end" if reply.stop == "tool_calls" and not calls else reply.stop
    return msgspec.structs.replace(reply, content=content, stop=stop)


class StreamTranslation:
    """One stream on its way from provider to client.

    `failure` is set once the stream failed, `done` once it ended as it should.
    """

    def __init__(
        self,
        translation: Translation,
        client: Codec,
        provider: Codec,
        request: Request,
        names: ToolNames,
        *,
        by_tool: bool,
    ) -> None:
        self.failure: Fail | None = None
        self.done = False
        self._translation = translation
        self._summary = translation.summary
        self._model = request.model
        self._decoder = provider.stream_decoder()
        self._encoder = client.stream_encoder(request)
        self._answer = _AnswerAsText() if by_tool else None
        self._names = names if names.needed() else None
        custom_calls = CustomCalls(request)
        self._custom_calls = custom_calls if custom_calls.needed() else None
        self._thinking = _ThinkingCollector()

    def feed(self, data: bytes) -> bytes:
        """Return what the client gets for the provider's next bytes; possibly nothing yet."""
        return self.encode(list(self._decoder.feed(data)))

    def close(self) -> bytes:
        """Return the rest; called when the provider's stream ended."""
        return self.encode(list(self._decoder.close()))

    def fail(self, failure: Fail) -> bytes:
        """Return the end of a stream that broke off."""
        return self.encode([failure])

    def encode(self, events: list[Event]) -> bytes:
        """Return what the client gets for `events`; nothing after the last one."""
        if not events or self.failure is not None or self.done:
            return b""
        for event in events:
            self._thinking.add(event)
            if type(event) is not Delta:
                self._record(event)
            elif event.text:
                self._summary.started = True
        frames = self._encoder.encode(self._for_client(events), self._translation.losses)
        if self.done:
            self._translation.response = self._encoder.response
            self._summary.finish_reason = self._encoder.finish_reason or self._summary.finish_reason
        return frames

    def _for_client(self, events: list[Event]) -> list[Event]:
        """Return the events with names, custom tools and the format that the client knows."""
        if self._answer is not None:
            events = [self._answer.change(event) for event in events]
        if self._names is not None:
            events = [self._names.restore_event(event) for event in events]
        if self._custom_calls is not None:
            events = [restored for event in events for restored in self._custom_calls.restore_event(event)]
        return events

    def _record(self, event: Event) -> None:
        match event:
            case UsageUpdate():
                self._summary.usage = event.usage
            case Start():
                event.id = self._translation.reply_id or event.id
                self._summary.model, self._summary.usage = event.model or self._model, event.usage
            case Open():
                self._summary.started = self._summary.started or has_content(event.block)
            case Stop():
                self._summary.finish_reason, self._summary.upstream_finish_reason = event.reason, event.word
                self._translation.note_stop(event.word)
            case Done():
                self.done = True
                self._translation.content = self._thinking.content
            case Fail():
                self.failure, self._summary.error = event, event.message
            case Lost():
                self._translation.losses.drop(f"reply.{event.what}")
            case _:
                pass


class _ThinkingCollector:
    """Collects the thinking and the tool calls of a stream."""

    def __init__(self) -> None:
        self.content: list[Block] = []
        self._open = -1
        self._thinking = Thinking(text="", dialect="")

    def add(self, event: Event) -> None:
        """Add the next event. Most are deltas of texts, which are not kept."""
        if isinstance(event, Delta):
            if event.index == self._open:
                self._thinking.text += event.text
        elif isinstance(event, Open):
            self._begin(event)
        elif isinstance(event, Close) and event.index == self._open:
            self._thinking.signature = event.signature or self._thinking.signature
            self._thinking.encrypted = event.encrypted or self._thinking.encrypted
            self._thinking.extra = self._thinking.extra | event.extra
            self._open = -1

    def _begin(self, event: Open) -> None:
        if isinstance(event.block, Thinking):
            self._open, self._thinking = event.index, msgspec.structs.replace(event.block)
            self.content.append(self._thinking)
        elif isinstance(event.block, ToolCall):
            self.content.append(event.block)


class _AnswerAsText:
    """Turns the call of the answer tool into text."""

    def __init__(self) -> None:
        self._calls = False

    def change(self, event: Event) -> Event:
        """Return the event for the client that stands for `event`."""
        if isinstance(event, Open) and isinstance(event.block, ToolCall):
            if event.block.name == ANSWER_TOOL:
                return Open(index=event.index, block=Text(text=event.block.arguments))
            self._calls = True
        if isinstance(event, Stop) and event.reason == "tool_calls" and not self._calls:
            return Stop(reason="end")
        return event
