"""How bodies are shown in a trace record: without their content coding, without secrets, as JSON, text or base64.

Works on copies, in a thread: whatever takes long here holds up no traffic. Begin reading at `show` and `show_stream`.
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

BodyFormat = Literal["json", "text", "base64"]

NULL = msgspec.Raw(b"null")
_DECODE = msgspec.json.decode
_SKIM = msgspec.json.Decoder(msgspec.Raw).decode
# Reading is stricter than skimming and takes five times as long: 2 µs a KB, during which no other thread runs.
_READ_BYTES = 64 * 1024
# Of compressed bodies so much is decoded at a time: 1,000 times as much may come out of it.
_SLICE_BYTES = 4 * 1024
_SLICE_ROOM_BYTES = 8 * 1024 * 1024
_UNREADABLE = (ValueError, RecursionError)
_DATA = re.compile(rb"(?:\A|(?<=[\r\n]))data: ?([^\r\n]+)")
_BLANK_LINE = re.compile(rb"(?:\r\n|\r(?!\n)|\n){2}")
_DONE = b"[DONE]"
_JSON_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[\[{]")


class Masks(NamedTuple):
    """What must not be shown: the forms of the exchange's secrets, and what the configuration names."""

    forms: tuple[bytes, ...] = ()
    paths: Sequence[Path] = ()


class RenderedBody(NamedTuple):
    """A body as it stands in a record. `short` says that not all of it does, `masked` that secrets were in it."""

    format: BodyFormat | None
    body: msgspec.Raw
    short: bool
    masked: bool = False


def render_body(parts: list[bytes], masks: Masks, *, short: bool, broken: bool = False) -> RenderedBody:
    """One body, whose bytes are `parts`; `short` says that not all were kept, `broken` that not all came."""
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if not data:
        return RenderedBody(None, NULL, short)
    if masks.paths:
        redacted = _redacted(data, masks.paths)
        if redacted is None:
            return RenderedBody(None, NULL, True)
        data = redacted
    [clean] = mask_parts([data], masks.forms, whole=not (short or broken))
    masked = clean is not data
    if not short and (raw := _as_json(clean)) is not None:
        return RenderedBody("json", raw, False, masked)
    text = _as_text(clean, short or broken)
    if text is not None:
        return RenderedBody("text", msgspec.Raw(msgspec.json.encode(text)), short, masked)
    return RenderedBody("base64", msgspec.Raw(b'"%b"' % base64.b64encode(clean)), short, masked)


def render_stream(parts: list[bytes], masks: Masks, *, short: bool) -> list[str | bytes]:
    """The pieces of an event stream, one for each of `parts`: text, empty where nothing can be shown yet, or bytes that
    are no text.
    """
    if masks.paths:
        edits = _redactions(parts, masks.paths)
        parts = apply_edits(parts, edits) if edits else parts
    parts = mask_parts(parts, masks.forms, whole=not short)
    try:
        return [part.decode() for part in parts]
    except UnicodeDecodeError:
        return _texts(parts)


def decode_parts(parts: list[bytes], encoding: str, limit_bytes: int) -> tuple[list[bytes], bool]:
    """`parts` without their content coding, `limit_bytes` at most, and whether more should come. What we cannot decode
    stays as it is.
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
    """What can be decoded with `part`, until it is more than `left`, and whether it is not what its coding says."""
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


def _as_json(data: bytes) -> msgspec.Raw | None:
    """`data` when it is JSON that every reader understands, byte for byte."""
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
    """Parts that may be cut within a character: that stands where its last byte came."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        texts: list[str | bytes] = [decoder.decode(part) for part in parts]
        decoder.decode(b"", final=True)
        return texts
    except UnicodeDecodeError:
        return [part if (text := _as_text(part, False)) is None else text for part in parts]


def _redacted(data: bytes, paths: Sequence[Path]) -> bytes | None:
    """`data` with MASK at `paths`; None when it begins like JSON and cannot be read: who knows what stands there."""
    try:
        value = _DECODE(data)
    except _UNREADABLE:
        return None if _JSON_BEGINS.match(data) else data
    return msgspec.json.encode(value) if mask_paths(value, paths) else data


def _redactions(parts: list[bytes], paths: Sequence[Path]) -> list[Edit]:
    """What changes in the data of events."""
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
    """Where the data of each event stands; it may have several lines, with other fields between them."""
    lines: list[tuple[int, int]] = []
    for found in _DATA.finditer(stream):
        if lines and _BLANK_LINE.search(stream, lines[-1][1], found.start()):
            yield lines
            lines = []
        lines.append(found.span(1))
    if lines:
        yield lines
