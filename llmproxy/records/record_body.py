"""Renders bodies for a trace record: without their content coding, without secrets, as JSON, text or base64.

Works on copies, in a thread, so that slow work holds up no traffic. Begin reading at `render_body` and `render_stream`.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from llmproxy.redaction.json_path import Path, mask_paths
from llmproxy.redaction.masking import Edit, apply_edits, mask_parts
from llmproxy.redaction.names import MASK
from llmproxy.wire.compression import Decoder, DecodingError
from llmproxy.wire.repeated_json import ReadObject

BodyFormat = Literal["json", "text", "base64"]

NULL = msgspec.Raw(b"null")
_DECODE = msgspec.json.decode
_SKIM = msgspec.json.Decoder(msgspec.Raw).decode
# Reading is stricter than skimming and takes five times as long: 2 µs a KB, during which no other thread runs.
_READ_BYTES = 64 * 1024
# The slice of a compressed body that is decoded at a time: it may become 1,000 times as long.
_SLICE_BYTES = 4 * 1024
_SLICE_ROOM_BYTES = 8 * 1024 * 1024
_UNREADABLE = (ValueError, RecursionError)
_DATA = re.compile(rb"(?:\A|(?<=[\r\n]))data: ?([^\r\n]+)")
_BLANK_LINE = re.compile(rb"(?:\r\n|\r(?!\n)|\n){2}")
_DONE = b"[DONE]"
_JSON_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[\[{]")


class Masks(NamedTuple):
    """What to mask: the forms of the exchange's secrets, and the configured paths."""

    forms: tuple[bytes, ...] = ()
    paths: Sequence[Path] = ()


class RenderedBody(NamedTuple):
    """A body as a record holds it. `short` says that it is not complete, `masked` that secrets were in it."""

    format: BodyFormat | None
    body: msgspec.Raw
    short: bool
    masked: bool = False


def render_body(
    parts: list[bytes], masks: Masks, *, short: bool, broken: bool = False, read: ReadObject | None = None
) -> RenderedBody:
    """Render one body from its `parts`; `short` says that not all were kept, `broken` that not all arrived. `read` is
    the body as it was read, where it goes on from an earlier one."""
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if not data:
        return RenderedBody(None, NULL, short)
    if masks.paths:
        redacted = _redacted(data, masks.paths)
        if redacted is None:
            return RenderedBody(None, NULL, True)
        data = redacted
    [clean] = mask_parts([data], masks.forms, whole=not (short or broken), read=read)
    masked = clean is not data
    if not short and (raw := _as_json(clean, read)) is not None:
        return RenderedBody("json", raw, False, masked)
    text = _as_text(clean, short or broken)
    if text is not None:
        return RenderedBody("text", msgspec.Raw(msgspec.json.encode(text)), short, masked)
    return RenderedBody("base64", msgspec.Raw(b'"%b"' % base64.b64encode(clean)), short, masked)


def render_stream(parts: list[bytes], masks: Masks, *, short: bool) -> list[str | bytes]:
    """Render the pieces of an event stream, one for each of `parts`: text (empty where nothing can be decoded yet), or
    bytes that are not text.
    """
    if masks.paths:
        edits = _redactions(parts, masks.paths)
        parts = apply_edits(parts, edits) if edits else parts
    parts = mask_parts(parts, masks.forms, whole=not short)
    try:
        return [part.decode() for part in parts]
    except UnicodeDecodeError:
        return _texts(parts)


def decompress_parts(parts: list[bytes], encoding: str, limit_bytes: int) -> tuple[list[bytes], bool]:
    """Return `parts` without their content coding, `limit_bytes` at most, and whether some is missing. An unknown
    coding stays as it is.
    """
    if not encoding:
        return parts, False
    try:
        decoder = Decoder(encoding, limit_bytes + _SLICE_ROOM_BYTES)
    except DecodingError:
        return parts, False
    decoded: list[bytes] = []
    left = limit_bytes
    for part in parts:
        piece, broken = _decoded_part(decoder, part, left)
        if broken and not piece and left == limit_bytes:
            return parts, False
        decoded.append(piece[:left])
        left -= len(piece)
        if broken or left < 0:
            return decoded, True
    return decoded, False


def _decoded_part(decoder: Decoder, part: bytes, left: int) -> tuple[bytes, bool]:
    """Decode `part` until the result exceeds `left`; return it, and whether the data does not fit its coding."""
    pieces: list[bytes] = []
    try:
        for start in range(0, len(part), _SLICE_BYTES):
            pieces.append(decoder.feed(part[start : start + _SLICE_BYTES]))
            left -= len(pieces[-1])
            if left < 0:
                break
    except DecodingError:
        return b"".join(pieces), True
    return b"".join(pieces), False


def _as_json(data: bytes, read: ReadObject | None) -> msgspec.Raw | None:
    """Return `data` when it is JSON that every reader understands, byte for byte."""
    if read is not None and read.data is data:
        return msgspec.Raw(data) if read.strict else None
    try:
        if len(data) <= _READ_BYTES or b"\\u" in data:
            _DECODE(data)
        else:
            _SKIM(data)
            data.decode()
    except _UNREADABLE:
        return None
    return msgspec.Raw(data)


def _as_text(data: bytes, short: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not short)
    except UnicodeDecodeError:
        return None


def _texts(parts: list[bytes]) -> list[str | bytes]:
    """Decode parts that may be cut within a character: it goes where its last byte is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        texts: list[str | bytes] = [decoder.decode(part) for part in parts]
        decoder.decode(b"", final=True)
        return texts
    except UnicodeDecodeError:
        return [part if (text := _as_text(part, False)) is None else text for part in parts]


def _redacted(data: bytes, paths: Sequence[Path]) -> bytes | None:
    """Return `data` with MASK at `paths`; None when it looks like JSON but cannot be read: it may hold anything."""
    try:
        value = _DECODE(data)
    except _UNREADABLE:
        return None if _JSON_BEGINS.match(data) else data
    return msgspec.json.encode(value) if mask_paths(value, paths) else data


def _redactions(parts: list[bytes], paths: Sequence[Path]) -> list[Edit]:
    """Return the edits of the data of events."""
    edits: list[Edit] = []
    stream = b"".join(parts)
    for lines in _events(stream):
        data = b"\n".join(stream[start:end] for start, end in lines)
        redacted = data if data == _DONE else _redacted(data, paths)
        if redacted is None:
            edits += [Edit(start, end, MASK.encode()) for start, end in lines]
        elif redacted is not data:
            edits.append(Edit(*lines[0], redacted))
            edits += [Edit(start, end, b"") for start, end in lines[1:]]
    return edits


def _events(stream: bytes) -> Iterator[list[tuple[int, int]]]:
    """Yield the offsets of the data lines of each event; there may be several, with other fields between them."""
    lines: list[tuple[int, int]] = []
    for match in _DATA.finditer(stream):
        if lines and _BLANK_LINE.search(stream, lines[-1][1], match.start()):
            yield lines
            lines = []
        lines.append(match.span(1))
    if lines:
        yield lines
