"""The trace record, version 1: one JSON object that says everything of one exchange.

Its head is the Entry; behind it stand what the client sent and what it was sent. The text of a record is laid out so
that its first line is the Entry alone: who needs no bodies reads that line, drops the comma at its end and adds "}".
Begin reading at `write_record`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from llmproxy.telemetry.body import NOTHING, Format, Masks, show, show_stream
from llmproxy.telemetry.entry import Entry, Milliseconds, unicode
from llmproxy.telemetry.jsonpath import Path
from llmproxy.telemetry.redaction import MASK, redact_url
from llmproxy.telemetry.secrets import forms_of, hide_bytes, hide_text, secret_header

Headers = dict[str, str | list[str]]


class RequestPart(msgspec.Struct, kw_only=True):
    """What the client sent. `size` is the length of the body as it came, in bytes; `body` is the JSON itself, text, or
    base64, as `format` says, without its content coding. Names of headers are in lower case; one that came several
    times is a list. `truncated` says that not all of the body is here: it is longer than what is kept, or it was left
    out because what must not be shown could not be found in it.
    """

    headers: Headers | None
    size: int
    format: Format | None = None
    body: msgspec.Raw
    truncated: bool = False


class Chunk(msgspec.Struct, kw_only=True):
    """A piece of a stream as the client was sent it, `at_ms` after the exchange began; `base64` when it is no text."""

    at_ms: Milliseconds
    text: str | msgspec.UnsetType = msgspec.UNSET
    base64: str | msgspec.UnsetType = msgspec.UNSET


class ResponsePart(msgspec.Struct, kw_only=True):
    """What the client was sent, as in the request. Of a stream there are `chunks`, of any other answer there is `body`.
    `headers` is null too when nothing was sent.
    """

    headers: Headers | None
    size: int
    format: Format | None = None
    body: msgspec.Raw
    chunks: list[Chunk] | None = None
    truncated: bool = False


class Record(Entry, kw_only=True):
    """One exchange, whole."""

    request: RequestPart
    response: ResponsePart


@dataclass(slots=True, kw_only=True)
class Captured:
    """One direction of an exchange as it went over the wire.

    `headers` is None when they are not recorded. `parts` are the bytes of the body, `short` says that more came than is
    kept. `size` counts all of them. `times_ms` says when each part of a stream was sent, None for any other body.
    """

    headers: Iterable[tuple[str, str]] | None = None
    encoding: str = ""
    size: int = 0
    parts: list[bytes] = field(default_factory=list)
    short: bool = False
    times_ms: list[float] | None = None


def write_record(
    entry: Entry,
    request: Captured,
    response: Captured,
    *,
    secrets: tuple[str, ...],
    paths: Sequence[Path],
    limit_bytes: int,
) -> bytes:
    """The text of the record, with the newline that ends it.

    `paths` are what is masked in JSON bodies; `limit_bytes` is the most that is shown of one.
    """
    forms = forms_of(secrets)
    asked = RequestPart(
        headers=_headers(request.headers, secrets), size=request.size, body=NOTHING, truncated=request.short
    )
    if request.parts:
        masks = Masks(forms=forms, paths=[path for path in paths if path.side != "response"])
        shown = show(request.parts, request.encoding, masks, limit_bytes, short=request.short)
        asked.format, asked.body, asked.truncated = shown.format, shown.body, shown.short
    answered = ResponsePart(
        headers=_headers(response.headers, secrets), size=response.size, body=NOTHING, truncated=response.short
    )
    if response.parts or response.times_ms is not None:
        masks = Masks(forms=forms, paths=[path for path in paths if path.side != "request"])
        _show_response(answered, response, masks, limit_bytes, broken=not entry.complete)
    head = hide_bytes(msgspec.json.encode(entry)[:-1], secrets)
    encode = msgspec.json.encode
    return b'%b,\n"request":%b,\n"response":%b}\n' % (head, encode(asked), encode(answered))


def _show_response(part: ResponsePart, captured: Captured, masks: Masks, limit_bytes: int, *, broken: bool) -> None:
    """`broken` says that the client got less than everything: then a secret may be cut off where the answer ends."""
    short = captured.short or broken
    if captured.times_ms is None:
        shown = show(captured.parts, captured.encoding, masks, limit_bytes, short=short)
        part.format, part.body = shown.format, shown.body
        part.truncated = captured.short or (shown.short and not short)
        return
    pieces, cut = show_stream(captured.parts, captured.encoding, masks, limit_bytes, short=short)
    part.truncated = captured.short or (cut and not short)
    part.chunks = [
        Chunk(at_ms=at_ms, text=piece)
        if isinstance(piece, str)
        else Chunk(at_ms=at_ms, base64=base64.b64encode(piece).decode())
        for at_ms, piece in zip(captured.times_ms, pieces, strict=False)
        if piece
    ]


def _headers(headers: Iterable[tuple[str, str]] | None, secrets: tuple[str, ...]) -> Headers | None:
    if headers is None:
        return None
    shown: Headers = {}
    for name, value in headers:
        name, secret = _judged(name)
        value = MASK if secret else _value(value, secrets)
        if name in shown:
            before = shown[name]
            shown[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            shown[name] = value
    return shown


def _value(value: str, secrets: tuple[str, ...]) -> str:
    if "://" in value:
        value = redact_url(value)
    for secret in secrets:
        if secret in value:
            return unicode(hide_text(value, secrets))
    return value if value.isascii() else unicode(value)


@lru_cache(maxsize=1024)
def _judged(name: str) -> tuple[str, bool]:
    """The name as it is shown, and whether the header holds a secret."""
    return unicode(name.lower()), secret_header(name)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a record (draft 2020-12)."""
    [schema], components = msgspec.json.schema_components([Record], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llmproxy trace record, version 1",
        **schema,
        "$defs": components,
    }
