"""Content codings: gzip, deflate and zstd, alone or stacked, with bounded output.

Decoding stops at a limit and goes piece by piece, so that a small body cannot fill the memory, and whoever decodes it
can count what it becomes. This module knows the names of codings (RFC 9110, 8.4.1) and nothing else of HTTP. Begin
reading at `Decoder`.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Protocol

from llmproxy.errors import BadRequest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODABLE = ("gzip", "deflate", "zstd")
"""The codings that we decode, by their registered names."""

PIECE_BYTES = 1024 * 1024
"""The most that a decoder makes at a time."""

_SAME_AS = {"x-gzip": "gzip"}
_MAX_STACKED = 4
# Concatenated members are legal in gzip and zstd. Block compressors write one per 64 KB or more; bombs write millions.
_MAX_MEMBERS = 10_000
# At the end of a member the rest of the input is copied: slices keep that copy small.
_SLICE_BYTES = 64 * 1024
# RFC 9659: the window that a decoder must support, which bounds the memory of a frame.
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


class DecodingError(BadRequest):
    """A body does not match its content coding, ends early, or is larger than the limit.

    For the body of a request the status is 400, 413 above the limit, and 415 for an unsupported coding.
    """


class Decoder:
    """Decodes a body that arrives in pieces.

    `encoding` is the value of Content-Encoding ("" for none), `limit_bytes` the most that one `feed` may return. The
    constructor and both methods raise DecodingError; after that the decoder must not be used.
    """

    __slots__ = ("_limit_bytes", "_stages")

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._stages = [_Stage(coding) for coding in reversed(_codings(encoding))]

    def feed(self, data: bytes) -> bytes:
        """Decode as much as possible with `data`; often b"" while a block is incomplete."""
        pieces = list(self.pieces(data))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Do the same as `feed` one piece at a time, each of at most PIECE_BYTES; none of them is empty."""
        for stage in self._stages:
            stage.room = self._limit_bytes
        return self._through(0, data)

    def _through(self, index: int, data: bytes) -> Iterator[bytes]:
        if index < len(self._stages):
            for piece in self._stages[index].pieces(data):
                yield from self._through(index + 1, piece)
        elif data:
            yield data

    def close(self) -> None:
        """End the body. Raise DecodingError when it is incomplete; an empty body is complete."""
        for stage in self._stages:
            stage.close()


def decompress(data: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Decode the whole body `data`. Raises DecodingError."""
    pieces = list(decompressed_pieces(data, encoding, limit_bytes))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def decompressed_pieces(data: bytes, encoding: str, limit_bytes: int) -> Iterator[bytes]:
    """Decode the whole body `data` piece by piece. Raises DecodingError, at its end at the latest."""
    decoder = Decoder(encoding, limit_bytes)
    yield from decoder.pieces(data)
    decoder.close()


def compress(data: bytes, encoding: str) -> bytes:
    """Encode `data` in the content coding `encoding`. Raises DecodingError for an unsupported one."""
    for coding in _codings(encoding):
        data = zstd.compress(data) if coding == "zstd" else zlib.compress(data, wbits=31 if coding == "gzip" else 15)
    return data


@lru_cache(maxsize=256)
def supported_encodings(header: str) -> str:
    """Return the Accept-Encoding to send upstream: the client's, without the codings that we cannot decode.

    Items keep their order and weight. `*` would allow codings that we cannot read, so it is replaced by the supported
    codings that the client does not list. A missing header allows any coding (RFC 9110), but such a client rarely
    decodes one, and an empty header allows none: both become `identity`, and so does a header without a supported
    coding.
    """
    items = [(_name(item), item.strip()) for item in header.split(",") if item.strip()]
    names = {name for name, _ in items}
    kept: list[str] = []
    for name, item in items:
        if name in DECODABLE or name == "identity":
            kept.append(item)
        elif name == "*":
            weight = item.partition(";")[1] + item.partition(";")[2]
            kept += [item] if _is_zero(weight) else [coding + weight for coding in DECODABLE if coding not in names]
    return ", ".join(kept) or "identity"


def _is_zero(weight: str) -> bool:
    """Return whether `weight` is `;q=0` in any of its spellings."""
    name, _, value = weight.replace(" ", "").lower().partition("=")
    return name == ";q" and not value.strip("0.")


def _name(item: str) -> str:
    name = item.partition(";")[0].strip().lower()
    return _SAME_AS.get(name, name)


def _codings(encoding: str) -> list[str]:
    """Return the codings in the order in which they were applied."""
    codings = [name for item in encoding.split(",") if (name := _name(item)) not in ("", "identity")]
    unknown = next((name for name in codings if name not in DECODABLE), None)
    if unknown is not None or len(codings) > _MAX_STACKED:
        message = f"Unsupported Content-Encoding {unknown or encoding!r}; send {', '.join(DECODABLE)} or none"
        raise DecodingError(message, status=415, code="unsupported_encoding")
    return codings


class _Decompressor(Protocol):
    """The interface of zstd: input that is not used yet is kept. A call that returns fewer bytes than `max_length` has
    used all of it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    """The same for zlib, which gives back the input that it has not used."""

    __slots__ = ("_object",)

    def __init__(self, wbits: int) -> None:
        self._object = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


def _deflate(head: bytes) -> _Decompressor:
    """Begin deflate: zlib's format (RFC 1950), or raw, which many servers send and which has no valid header."""
    wrapped = head[0] & 15 == 8 and int.from_bytes(head) % 31 == 0
    return _Zlib(15 if wrapped else -15)


_BEGIN: dict[str, Callable[[bytes], _Decompressor]] = {
    "gzip": lambda head: _Zlib(31),
    "deflate": _deflate,
    "zstd": lambda head: zstd.ZstdDecompressor(options=_ZSTD_OPTIONS),
}


class _Stage:
    """One coding of a body: members one after the other. The first two bytes of a member select the decompressor.
    `room` is how many bytes it may still make.
    """

    __slots__ = ("_coding", "_current", "_head", "_members", "room")

    def __init__(self, coding: str) -> None:
        self.room = 0
        self._coding = coding
        self._current: _Decompressor | None = None
        self._head = b""
        self._members = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        allowed = self.room
        data, self._head = self._head + data, b""
        for start in range(0, len(data), _SLICE_BYTES):
            rest = self._head + data[start : start + _SLICE_BYTES]
            self._head = b""
            full = False
            while rest or full:
                piece, rest, full = self._step(rest, full)
                self.room -= len(piece)
                if self.room < 0:
                    message = f"The {self._coding} body is larger than {allowed} bytes when decoded"
                    raise DecodingError(message, status=413, code="body_too_large")
                if piece:
                    yield piece

    def close(self) -> None:
        if self._head or (self._current is not None and not self._current.eof):
            raise DecodingError(f"The {self._coding} body ends too early", code="invalid_encoding")

    def _step(self, data: bytes, full: bool) -> tuple[bytes, bytes, bool]:
        """Decode `data` up to the end of a member. Return a piece, the rest of the input, and whether the piece was
        full, so that more may come without input."""
        current = self._current
        if not full and (current is None or current.eof):
            if current is not None:
                data = data.lstrip(b"\0")  # padding, as in tape archives
            if len(data) < 2:
                self._head = data
                return b"", b"", False
            current = self._current = self._begin(data[:2])
        assert current is not None, "a piece came from somewhere"
        try:
            piece = current.decompress(data, min(PIECE_BYTES, self.room + 1))
        except (zlib.error, zstd.ZstdError) as error:
            raise DecodingError(f"The body is not valid {self._coding}", code="invalid_encoding") from error
        if current.eof:
            return piece, current.unused_data, False
        return piece, b"", len(piece) == PIECE_BYTES

    def _begin(self, head: bytes) -> _Decompressor:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise DecodingError(f"The {self._coding} body has too many members", code="invalid_encoding")
        return _BEGIN[self._coding](head)
