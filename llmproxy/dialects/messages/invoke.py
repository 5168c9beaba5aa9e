"""Messages as InvokeModel has them: the same bodies and events, with the model in the path and the events of a stream
as base64 in the messages of an AWS event stream.

A client in this form may be served by whoever speaks messages, and the other way round; bodies of other makers' models
look different, and are only relayed. Source: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-claude.html
and the shape `ResponseStream` of botocore. Begin reading at `Wrap` and `Unwrap`.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from llmproxy.dialects.aws_exceptions import error_frame, exception_status
from llmproxy.dialects.call_form import CallForm, OtherFrames
from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.lenient_json import Fields, object_of, string
from llmproxy.dialects.messages.request_decode import decode_request
from llmproxy.dialects.messages.reshape import RESHAPE
from llmproxy.dialects.messages.stream_decode import MessagesStreamDecoder
from llmproxy.dialects.messages.stream_encode import MessagesStreamEncoder
from llmproxy.dialects.messages.stream_watch import MessagesWatch
from llmproxy.dialects.model import Request
from llmproxy.dialects.provider_errors import code_of, read_error, status_of
from llmproxy.dialects.reshape import Reshape
from llmproxy.dialects.stream_events import Event, Fail
from llmproxy.dialects.summary import Summary, Watch
from llmproxy.errors import BrokenStream
from llmproxy.wire.eventstream import MessageSplitter, write_message
from llmproxy.wire.framing import ErrorFrame, Frame, FrameSplitter
from llmproxy.wire.json import read_as, read_value
from llmproxy.wire.sse import Splitter, write_frame

PATH = "/model/{model}/invoke"
STREAM_PATH = "/model/{model}/invoke-with-response-stream"


# JSON may have line breaks between its words; a server-sent event ends with two of them.
_BLANKS = bytes.maketrans(b"\r\n", b"  ")


class _Chunk(Fields):
    bytes: Any = None


class _Typed(Fields):
    type: Any = None


_CHUNK: msgspec.json.Decoder[_Chunk] = msgspec.json.Decoder(_Chunk)
_TYPED: msgspec.json.Decoder[_Typed] = msgspec.json.Decoder(_Typed)


class _Converter:
    """Converts a stream frame by frame. What stands in front of an error is returned first."""

    def __init__(self, splitter: FrameSplitter, convert: Callable[[Frame], bytes]) -> None:
        self._splitter = splitter
        self._convert = convert
        self._error: BrokenStream | None = None

    def feed(self, data: bytes) -> bytes:
        return self._converted(self._splitter.feed(data))

    def close(self) -> bytes:
        return self._converted(self._splitter.flush())

    def _converted(self, frames: list[Frame]) -> bytes:
        if self._error is not None:
            raise self._error
        converted: list[bytes] = []
        for frame in frames:
            try:
                converted.append(self._convert(frame))
            except BrokenStream as error:
                if not any(converted):
                    raise
                self._error = error
                break
        return b"".join(converted)


class Wrap(_Converter):
    """Converts server-sent events of messages into an event stream."""

    def __init__(self) -> None:
        super().__init__(Splitter(), _wrapped)


def _wrapped(frame: Frame) -> bytes:
    """Return the message of an event. An error of the provider becomes an exception."""
    if frame.event == "error":
        message, error = read_error(read_value(frame.data))
        raise BrokenStream(
            message or "The provider reported an error",
            status=status_of(error),
            code=code_of(error) or "upstream_stream_error",
        )
    return write_message("chunk", b'{"bytes":"%b"}' % binascii.b2a_base64(frame.data, newline=False))


class Unwrap(_Converter):
    """Converts an event stream into server-sent events of messages."""

    def __init__(self) -> None:
        super().__init__(MessageSplitter(), _unwrapped)


def _unwrapped(frame: Frame) -> bytes:
    if isinstance(frame, ErrorFrame):
        raise _broken(frame)
    event = _event_in(frame)
    typed = read_as(_TYPED, event) if event else None
    if typed is None:
        return b""
    name = string(typed.type) or ""
    return write_frame(event.translate(_BLANKS), name if name.isprintable() else "")


def _broken(frame: ErrorFrame) -> BrokenStream:
    """Return the error that an exception in a stream stands for."""
    value = object_of(read_value(frame.data))
    message = string(value.get("message")) or string(value.get("Message")) or frame.event or "error"
    return BrokenStream(
        message, status=exception_status(frame.event, value), code=frame.event or "upstream_stream_error"
    )


def _event_in(frame: Frame) -> bytes:
    """Return the JSON of the event in a message; empty where there is none."""
    chunk = read_as(_CHUNK, frame.data) if frame.event == "chunk" else None
    encoded = None if chunk is None else string(chunk.bytes)
    try:
        return b"" if encoded is None else binascii.a2b_base64(encoded)
    except ValueError:
        return b""


INVOKE_FORM = CallForm(
    name="invoke",
    call="/messages",
    path=PATH,
    stream_path=STREAM_PATH,
    without=("model", "stream"),
    members=(("anthropic_version", b'"bedrock-2023-05-31"'),),
    header_members=(("anthropic-beta", "anthropic_beta"),),
    version=("anthropic-version", "anthropic_version", "2023-06-01"),
    frames=OtherFrames(dialect="invoke", wrap=Wrap, unwrap=Unwrap),
)


def decode_invoke_request(body: dict[str, Any]) -> Request:
    """Return a request, of which the path has the model."""
    return decode_request(INVOKE_FORM.own_body(body))


class InvokeStreamDecoder(MessagesStreamDecoder):
    """One stream, of which each message holds an event."""

    def __init__(self) -> None:
        super().__init__()
        self._splitter = MessageSplitter()

    def _decode_frame(self, frame: Frame) -> None:
        if isinstance(frame, ErrorFrame):
            broken = _broken(frame)
            self._over = True
            self._events.append(Fail(message=broken.message, code=broken.code, status=broken.status))
        elif event := _event_in(frame):
            super()._decode_frame(Frame("", event))


class InvokeStreamEncoder(MessagesStreamEncoder):
    """One stream for a client that sent `request`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._wrap = Wrap()

    def encode(self, events: Sequence[Event], losses: Losses) -> bytes:
        failure = next((event for event in events if isinstance(event, Fail)), None)
        before = list(events) if failure is None else list(events[: events.index(failure)])
        frames = self._wrap.feed(super().encode(before, losses))
        return frames if failure is None else frames + error_frame(failure.message, failure.status)


class InvokeWatch(Watch):
    """Watches the events in a stream."""

    __slots__ = ("_inner", "_splitter")

    def __init__(self, *, text: bool = False) -> None:
        self._inner = MessagesWatch(text=text)
        self._splitter: MessageSplitter | None = MessageSplitter()

    @property
    def started(self) -> bool:  # type: ignore[override]  # read only, as it is the other's
        return self._inner.started

    @property
    def summary(self) -> Summary:  # type: ignore[override]
        return self._inner.summary

    def feed(self, data: bytes) -> None:
        if self._splitter is None:
            return
        try:
            for frame in self._splitter.feed(data):
                if event := _unwrapped(frame):
                    self._inner.feed(event)
        except BrokenStream as error:
            self._splitter = None
            self._inner.summary.error = error.message

    def close(self) -> Summary:
        return self._inner.close()


class InvokeReshape(Reshape):
    """Gives messages in the other form, and their streams in these frames."""

    stream_fields = ()

    def is_deterministic(self, request: Mapping[str, Any]) -> bool:
        return RESHAPE.is_deterministic(request)

    def is_repeatable(self, request: Mapping[str, Any]) -> bool:
        return RESHAPE.is_repeatable(request)

    def says_something(self, reply: bytes) -> bool:
        return RESHAPE.says_something(reply)

    def is_whole(self, stream: bytes) -> bool:
        events = _as_sse(stream)
        return events is not None and RESHAPE.is_whole(events)

    def stream_of(self, reply: bytes, *, usage: bool) -> bytes | None:
        stream = RESHAPE.stream_of(reply, usage=usage)
        return None if stream is None else Wrap().feed(stream)

    def reply_of(self, stream: bytes) -> bytes | None:
        events = _as_sse(stream)
        return None if events is None else RESHAPE.reply_of(events)


def _as_sse(stream: bytes) -> bytes | None:
    """Return a whole stream as server-sent events; None for one that is broken."""
    unwrap = Unwrap()
    try:
        return unwrap.feed(stream) + unwrap.close()
    except BrokenStream:
        return None
