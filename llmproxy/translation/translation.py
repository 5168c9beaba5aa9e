"""From one dialect to another, through the neutral vocabulary: a request, a whole reply, a stream.

Pure functions on bytes and values; who is asked and how the answer travels is not known here. Begin reading at
`Translation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from llmproxy.dialects.codec import Codec, Losses, Options
from llmproxy.dialects.custom_tools import Unwrapping
from llmproxy.dialects.members import parse
from llmproxy.dialects.model import (
    Block,
    Close,
    Delta,
    Done,
    Event,
    Fail,
    Format,
    Lost,
    Media,
    Open,
    Reasoning,
    Reply,
    Request,
    Start,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    UsageUpdate,
)
from llmproxy.dialects.name_limits import ToolNames
from llmproxy.dialects.provider_errors import decode_error
from llmproxy.dialects.reply_events import collect, events_of
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.tool_results import put_behind_calls
from llmproxy.errors import BadRequest, ProxyError, UpstreamError
from llmproxy.translation.reasoning_store import KeptReasoning, lacks_reasoning, restore
from llmproxy.wire.json import write_value

# The tool that stands for structured output where a service has none.
ANSWER_TOOL = "structured_answer"
# How event streams begin, and no JSON.
_STREAMED = (b"data:", b"event:", b"id:", b"retry:", b":", b"\xef\xbb\xbf")


def read_request(codec: Codec, body: bytes) -> Request:
    """A client's request. Raises BadRequest with the JSON path of what is wrong."""
    return codec.decode_request(parse(body))


class Translation:
    """One request from a client that speaks `client` to a provider that speaks `provider`, and its answer back.

    `reasoning` is what was kept of earlier replies, by tool call; `reply_id` replaces the id that the provider gave its
    reply. `summary` is what is known of the answer so far: the usage that the provider counted, also where the client
    did not ask for it. `content` is what a whole reply holds, as the provider sent it: of a stream only the thinking
    and the tool calls.
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
        reply_id: str | None = None,
    ) -> None:
        self.losses = Losses(strict=strict)
        self.summary = Summary()
        self._request = request
        self._client = client
        self._provider = provider
        self._options = options
        self.content: list[Block] = []
        self.reply_id = reply_id
        self._reasoning = reasoning
        self._forced_format = False
        self._names = ToolNames(provider.longest_tool_name)

    def request(self, model: str) -> bytes:
        """The body for the provider, which calls the model `model`. Raises BadRequest for what it cannot carry."""
        messages = put_behind_calls(list(self._request.messages))
        request = msgspec.structs.replace(self._request, model=model, messages=messages)
        restore(request, self._reasoning)
        if self._provider.needs_thinking and lacks_reasoning(request, self._provider.name):
            self._think_less(request)
        if request.format is not None and self._options.structured_output == "tool":
            self._force_format(request, request.format)
        self._names.shorten(request)
        try:
            return write_value(self._provider.encode_request(request, self._options, self.losses))
        except RecursionError:
            raise BadRequest("The request is nested too deeply", code="invalid_json") from None

    def linked(self) -> list[Media]:
        """The media that the client named by URL and that the provider takes only inside the request."""
        return [
            block
            for message in self._request.messages
            for block in _media(message.content)
            if block.url is not None and not (self._options.media_urls and block.kind in self._provider.takes_url)
        ]

    def reply(self, body: bytes) -> bytes:
        """The client's form of a provider's whole reply. Raises BadReply."""
        reply = self._decoded(body)
        self.summary.usage = reply.usage
        self.content = reply.content
        reply.id = self.reply_id or reply.id
        if self._forced_format:
            reply = _unforced(reply)
        reply.content = Unwrapping(self._request).blocks(self._names.restore(reply.content))
        self.losses.strict = False
        return write_value(self._client.encode_response(reply, self._request, self.losses))

    def reply_as_stream(self, body: bytes) -> bytes:
        """The same as a stream, for a provider that does not stream."""
        reply = self._decoded(body)
        self.summary.usage = reply.usage
        frames = self.stream()
        return frames.write(events_of(reply))

    def _decoded(self, body: bytes) -> Reply:
        """A provider's whole answer. Some stream although nobody asked for it."""
        if not body.lstrip().startswith(_STREAMED):
            return self._provider.decode_response(body)
        reader = self._provider.stream_decoder()
        events = [*reader.feed(body), *reader.close()]
        reply = collect(events)
        if isinstance(reply, Fail):
            raise UpstreamError(reply.message, status=reply.status, code=reply.code)
        self.losses.strict = False
        for event in events:
            if isinstance(event, Lost):
                self.losses.drop(f"reply.{event.what}")
        return reply

    def error(self, status: int, body: bytes) -> ProxyError:
        """What the provider's answer of status 400 and more says."""
        return decode_error(status, body)

    def stream(self) -> StreamTranslation:
        """What turns the provider's stream into the client's."""
        self.losses.strict = False
        return StreamTranslation(
            self, self._client, self._provider, self._request, self._names, forced=self._forced_format
        )

    def _think_less(self, request: Request) -> None:
        """The provider refuses to think on in a turn whose earlier thinking is lost: do without, and say so."""
        wanted = request.reasoning
        if wanted.mode in (None, "off") and wanted.effort in (None, "none") and wanted.budget_tokens is None:
            return
        for name in ("mode", "effort", "budget_tokens", "summary"):
            if getattr(wanted, name) is not None:
                self.losses.drop(request.where(name) if name in request.paths else "reasoning")
        request.reasoning = Reasoning(mode="off")

    def _force_format(self, request: Request, wanted: Format) -> None:
        """Have the answer given as the arguments of a tool that must be called.

        Where the client has tools of its own, the model may also call one of them.
        """
        schema = wanted.schema if wanted.schema is not None else {"type": "object"}
        told = (
            wanted.description or "Gives the final answer in the required form. Call it once, when the answer is known."
        )
        tool = Tool(name=ANSWER_TOOL, description=told, schema=schema, strict=wanted.strict)
        choice = ToolChoice(mode="required") if request.tools else ToolChoice(mode="tool", name=ANSWER_TOOL)
        request.tools = [*request.tools, tool]
        request.tool_choice = choice
        request.format = None
        self._forced_format = True


def _media(content: list[Block]) -> Iterator[Media]:
    for block in content:
        if isinstance(block, Media):
            yield block
        elif isinstance(block, ToolResult):
            yield from _media(block.content)


def _unforced(reply: Reply) -> Reply:
    """The reply with the answer tool's arguments as its text."""
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
        forced: bool,
    ) -> None:
        self.failure: Fail | None = None
        self.done = False
        self._translation = translation
        self._decoder = provider.stream_decoder()
        self._encoder = client.stream_encoder(request)
        self._forced = _Unforcing() if forced else None
        self._names = names if names.needed() else None
        unwrapping = Unwrapping(request)
        self._unwrapping = unwrapping if unwrapping.needed() else None
        self._reasoning = _Gathering()

    def feed(self, data: bytes) -> bytes:
        """What the client gets for the provider's next bytes; possibly nothing yet."""
        return self.write(list(self._decoder.feed(data)))

    def close(self) -> bytes:
        """The provider's stream ended: the rest."""
        return self.write(list(self._decoder.close()))

    def fail(self, failure: Fail) -> bytes:
        """The provider's stream broke off."""
        return self.write([failure])

    def write(self, events: list[Event]) -> bytes:
        """What the client gets for `events`. Nothing after the last one."""
        if not events or self.failure is not None or self.done:
            return b""
        losses = self._translation.losses
        for event in events:
            self._reasoning.see(event)
            if type(event) is not Delta:
                self._note(event)
        if self._forced is not None:
            events = [self._forced.change(event) for event in events]
        if self._names is not None:
            events = [self._names.event(event) for event in events]
        if self._unwrapping is not None:
            events = [told for event in events for told in self._unwrapping.events(event)]
        return self._encoder.encode(events, losses)

    def _note(self, event: Event) -> None:
        match event:
            case UsageUpdate():
                self._translation.summary.usage = event.usage
            case Start():
                event.id = self._translation.reply_id or event.id
                self._translation.summary.usage = event.usage or self._translation.summary.usage
            case Done():
                self.done = True
                self._translation.content = self._reasoning.content
            case Fail():
                self.failure = event
            case Lost():
                self._translation.losses.drop(f"reply.{event.what}")
            case _:
                pass


class _Gathering:
    """The thinking and the tool calls of a stream, for keeping."""

    def __init__(self) -> None:
        self.content: list[Block] = []
        self._open = -1
        self._thought = Thinking(text="", dialect="")

    def see(self, event: Event) -> None:
        """The next event. Most are deltas of texts that nobody keeps."""
        if isinstance(event, Delta):
            if event.index == self._open:
                self._thought.text += event.text
        elif isinstance(event, Open):
            self._begin(event)
        elif isinstance(event, Close) and event.index == self._open:
            self._thought.signature = event.signature or self._thought.signature
            self._thought.encrypted = event.encrypted or self._thought.encrypted
            self._thought.extra = self._thought.extra | event.extra
            self._open = -1

    def _begin(self, event: Open) -> None:
        if isinstance(event.block, Thinking):
            self._open, self._thought = event.index, msgspec.structs.replace(event.block)
            self.content.append(self._thought)
        elif isinstance(event.block, ToolCall):
            self.content.append(event.block)


class _Unforcing:
    """The answer tool's call as text."""

    def __init__(self) -> None:
        self._calls = False

    def change(self, event: Event) -> Event:
        """What the client is told instead of `event`."""
        if isinstance(event, Open) and isinstance(event.block, ToolCall):
            if event.block.name == ANSWER_TOOL:
                return Open(index=event.index, block=Text(text=event.block.arguments))
            self._calls = True
        if isinstance(event, Stop) and event.reason == "tool_calls" and not self._calls:
            return Stop(reason="end")
        return event
