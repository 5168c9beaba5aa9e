"""The trace record, version 1: one JSON object with one whole exchange.

Its head is the Entry, followed by the request and the response. The first line of its text is the Entry alone: a reader
that needs no bodies reads that line, drops the comma at its end and adds "}". Begin reading at `write_record`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from llmproxy.dialects.usage import UsageDetails
from llmproxy.records.entry import RECORD_VERSION, Entry, Milliseconds
from llmproxy.records.record_body import NULL, BodyFormat, Masks, decompress_parts, render_body, render_stream
from llmproxy.redaction.json_path import Path, Side
from llmproxy.redaction.masking import find_credentials
from llmproxy.redaction.names import MASK, redact_url
from llmproxy.redaction.secrets import forms_of, mask_bytes, mask_text, secret_header, secret_value, with_credentials
from llmproxy.wire.repeated_json import ReadObject
from llmproxy.wire.text import replace_surrogates

# The memory of a part of a body besides its bytes.
PART_OVERHEAD_BYTES = 100

# Members that are left out when there is nothing to say.
_OPTIONAL = {
    "Record": ("frames", "frames_truncated"),
    "Chunk": ("text", "base64"),
    "Usage": ("details",),
    "UsageDetails": UsageDetails.__struct_fields__,
}

# Values with one of these may be a credential under any name, or a URL.
_MARKS = ("earer ", "asic ", "://")
_NOTHING = msgspec.Raw(b"")
# A body that encodes as nothing. No string of JSON contains this: its quotes are escaped there.
_NO_BODY = b'"body":,'

RecordedHeaders = dict[str, str | list[str]]


class RequestPart(msgspec.Struct, kw_only=True):
    """A request. `size` is the length of the body on the wire, in bytes; `body` is the JSON itself, text, or base64, as
    `format` says, without its content coding. Names of headers are in lower case; a repeated header is a list.
    `truncated` says that the body is not complete: it exceeds the limit, or it was left out because fields to mask
    could not be located in it.
    """

    headers: RecordedHeaders | None
    size: int
    format: BodyFormat | None = None
    body: msgspec.Raw
    truncated: bool = False


class Chunk(msgspec.Struct, kw_only=True):
    """A piece of a stream as sent to the client, `at_ms` after the exchange began; `base64` when it is not text."""

    at_ms: Milliseconds
    text: str | msgspec.UnsetType = msgspec.UNSET
    base64: str | msgspec.UnsetType = msgspec.UNSET


class ResponsePart(msgspec.Struct, kw_only=True):
    """A response. A stream has `chunks`, any other answer has `body`. The rest is as in the request. `headers` is also
    null when nothing was sent.
    """

    headers: RecordedHeaders | None
    size: int
    format: BodyFormat | None = None
    body: msgspec.Raw
    chunks: list[Chunk] | None = None
    truncated: bool = False


class WebSocketFrame(msgspec.Struct, kw_only=True):
    """A message of text on a WebSocket. `sender` is `client` or `provider`; the rest is as in the request."""

    at_ms: Milliseconds
    sender: str
    format: BodyFormat | None = None
    body: msgspec.Raw
    truncated: bool = False


class Record(Entry, kw_only=True):
    """One exchange with headers and bodies. `frames` are there for a WebSocket whose messages are recorded."""

    request: RequestPart
    response: ResponsePart
    frames: list[WebSocketFrame] | msgspec.UnsetType = msgspec.UNSET
    frames_truncated: bool = False


@dataclass(slots=True, kw_only=True)
class CapturedFrames:
    """The messages of a WebSocket: when each came, from whom, and its bytes. `short` says that some are missing."""

    messages: list[tuple[float, str, bytes]] = field(default_factory=list)
    size: int = 0
    short: bool = False


@dataclass(slots=True, kw_only=True)
class CapturedMessage:
    """One direction of an exchange as it went over the wire.

    `headers` is None when they are not recorded. `parts` are the bytes of the body, `short` says that some are missing.
    `read` is a request as it was read, where that goes on from an earlier one. `size` counts all bytes of the body.
    `times_ms` are the times when the parts of a stream were sent, None for any other body.
    """

    headers: Iterable[tuple[str, str]] | None = None
    encoding: str = ""
    size: int = 0
    parts: list[bytes] = field(default_factory=list)
    read: ReadObject | None = None
    short: bool = False
    times_ms: list[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRecord:
    """A record as text, in its parts: `head` is the Entry without the brace at its end, `before` and `after` surround
    the `body` of the request. `started` and `id` are those of the exchange.

    `read` is a request with a list of turns as it was read; its data is `body` unless something was masked.
    """

    started: str
    id: str
    head: bytes
    before: bytes = b""
    body: bytes | memoryview = b""
    after: bytes = b""
    read: ReadObject | None = None

    @property
    def parts(self) -> tuple[bytes, bytes, bytes | memoryview, bytes]:
        """Return the parts of the text in order."""
        return self.head, self.before, self.body, self.after

    @property
    def text(self) -> bytes:
        """Return the whole record, with the newline that ends it."""
        return b"".join(self.parts)


def write_record(
    entry: Entry,
    request: CapturedMessage,
    response: CapturedMessage,
    *,
    secrets: tuple[str, ...],
    paths: Sequence[Path] = (),
    limit_bytes: int,
    frames: CapturedFrames | None = None,
) -> WrittenRecord:
    """Return the record as text.

    `paths` are masked in JSON bodies and messages; `limit_bytes` is the most that is recorded of one body.
    """
    request_part = RequestPart(headers=None, size=request.size, body=NULL, truncated=request.short)
    if request.parts:
        secrets = _fill_request(request_part, request, secrets, _of(paths, "request"), limit_bytes)
    response_part = ResponsePart(headers=None, size=response.size, body=NULL, truncated=response.short)
    if response.parts or response.times_ms is not None:
        masks = Masks(forms=forms_of(secrets), paths=_of(paths, "response"))
        _fill_response(response_part, response, masks, limit_bytes, broken=entry.outcome not in ("complete", "error"))
    request_part.headers = _headers(request.headers, secrets)
    response_part.headers = _headers(response.headers, secrets)
    encode = msgspec.json.encode
    more = b"" if frames is None else _frames(frames, secrets, paths)
    body, request_part.body = request_part.body, _NOTHING
    before, _, after = encode(request_part).partition(_NO_BODY)
    return WrittenRecord(
        started=entry.started,
        id=entry.id,
        head=mask_bytes(encode(entry)[:-1], secrets),
        before=b',\n"request":%b"body":' % before,
        body=memoryview(body),
        after=b',%b,\n"response":%b%b}\n' % (after, encode(response_part), more),
        read=request.read if request_part.format == "json" else None,
    )


def _frames(frames: CapturedFrames, secrets: tuple[str, ...], paths: Sequence[Path]) -> bytes:
    """Return the members of the record that hold the messages of a WebSocket."""
    forms = forms_of(secrets)
    masks = {
        "client": Masks(forms=forms, paths=_of(paths, "request")),
        "provider": Masks(forms=forms, paths=_of(paths, "response")),
    }
    written = []
    for at_ms, sender, data in frames.messages:
        body = render_body([data], masks[sender], short=False)
        frame = WebSocketFrame(at_ms=at_ms, sender=sender, format=body.format, body=body.body, truncated=body.short)
        written.append(msgspec.json.encode(frame))
    return b',\n"frames":[%b],"frames_truncated":%b' % (b",\n".join(written), b"true" if frames.short else b"false")


def _of(paths: Sequence[Path], side: Side) -> Sequence[Path]:
    return [path for path in paths if path.side in (None, side)] if paths else paths


def _fill_request(
    part: RequestPart, captured: CapturedMessage, secrets: tuple[str, ...], paths: Sequence[Path], limit_bytes: int
) -> tuple[str, ...]:
    """Fill `part`; return `secrets` and the credentials in the body itself, which an answer may repeat."""
    parts, cut = decompress_parts(captured.parts, captured.encoding, limit_bytes)
    short = captured.short or cut
    read = captured.read
    rendered = render_body(parts, Masks(forms=forms_of(secrets), paths=paths), short=short, read=read)
    if rendered.masked:
        secrets = with_credentials(secrets, find_credentials(parts, read))
        rendered = render_body(parts, Masks(forms=forms_of(secrets), paths=paths), short=short, read=read)
    part.format, part.body, part.truncated = rendered.format, rendered.body, rendered.short
    return secrets


def _fill_response(
    part: ResponsePart, captured: CapturedMessage, masks: Masks, limit_bytes: int, *, broken: bool
) -> None:
    """Fill `part`. `broken` says that the client did not get everything, so that a secret may be cut off at the end."""
    parts, cut = decompress_parts(captured.parts, captured.encoding, limit_bytes)
    part.truncated = captured.short or cut
    if captured.times_ms is None:
        rendered = render_body(parts, masks, short=part.truncated, broken=broken)
        part.format, part.body, part.truncated = rendered.format, rendered.body, rendered.short
        return
    pieces = render_stream(parts, masks, short=part.truncated or broken)
    part.chunks = [
        Chunk(at_ms=at_ms, text=piece)
        if isinstance(piece, str)
        else Chunk(at_ms=at_ms, base64=base64.b64encode(piece).decode())
        for at_ms, piece in zip(captured.times_ms, pieces, strict=False)
        if piece
    ]


def _headers(headers: Iterable[tuple[str, str]] | None, secrets: tuple[str, ...]) -> RecordedHeaders | None:
    """Return the headers without secrets. `headers` can be read several times."""
    if headers is None:
        return None
    masked: RecordedHeaders = {}
    values: list[str] = []
    for name, value in headers:
        name, secret = _judge_header(name)
        value = MASK if secret else value
        values.append(value)
        masked[name] = value
    # The usual case: no header is there twice, and in all values together is nothing to mask.
    text = "\n".join(values)
    usual = len(masked) == len(values) and text.isascii() and not any(map(text.__contains__, _MARKS))
    return masked if usual and mask_text(text, secrets) is text else mask_headers(headers, secrets)


def mask_headers(headers: Iterable[tuple[str, str]], secrets: tuple[str, ...]) -> RecordedHeaders:
    """Return the headers without secrets, each looked at alone."""
    masked: RecordedHeaders = {}
    for name, value in headers:
        name, secret = _judge_header(name)
        if secret or secret_value(value):
            value = MASK
        elif "://" in value or not value.isascii():
            value = replace_surrogates(redact_url(value))
        value = mask_text(value, secrets)
        if name in masked:
            before = masked[name]
            masked[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            masked[name] = value
    return masked


@lru_cache(maxsize=1024)
def _judge_header(name: str) -> tuple[str, bool]:
    """Return the name in lower case, and whether the header holds a secret."""
    return replace_surrogates(name.lower()), secret_header(name)


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema of a record (draft 2020-12). All members are required but a few; later versions may add
    some.
    """
    [schema], parts = msgspec.json.schema_components([Record], ref_template="#/$defs/{name}")
    for name, part in parts.items():
        part["description"] = " ".join(part["description"].split())
        part["required"] = [each for each in part["properties"] if each not in _OPTIONAL.get(name, ())]
        for member in part["properties"].values():
            member.pop("default", None)
    parts[Record.__name__]["properties"]["version"] = {"const": RECORD_VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"llmproxy trace record, version {RECORD_VERSION}",
        **schema,
        "$defs": parts,
    }
