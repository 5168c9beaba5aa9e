"""Content codings: gzip, deflate and zstd, alone or stacked, with bounded output.

Everything that decodes stops at a limit, so that a small body cannot fill the memory. Knows the names of codings (RFC
9110, 8.4.1) and nothing else of HTTP. Begin reading at `Decoder`.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from llmproxy.errors import BadRequest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODABLE = ("gzip", "deflate", "zstd")
"""The codings that we decode, by their registered names."""

_SAME_AS = {"x-gzip": "gzip"}
_MAX_STACKED = 4
# Concatenated members are legal in gzip and zstd. Block compressors write one per 64 KB or more; bombs write millions.
_MAX_MEMBERS = 10_000
# A member's end copies what follows it: in slices that copy stays small.
_SLICE_BYTES = 64 * 1024
# RFC 9659: the window that a decoder of the content coding has to support, and the memory that a frame may ask for.
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


class DecodingError(BadRequest):
    """Bytes that are not what their content coding says, end early, or give more than the limit.

    Of a request's body this is the client's mistake: 400, 413 beyond the limit, 415 for a coding that we do not decode.
    """


class Decoder:
    """Decodes a body that arrives in pieces.

    `encoding` is the value of Content-Encoding ("" for none), `limit_bytes` the most that one `feed` may give. The
    constructor and both methods raise DecodingError; after that the decoder is of no more use.
    """

    __slots__ = ("_stages",)

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        self._stages = [_Stage(coding, limit_bytes) for coding in reversed(_codings(encoding))]

    def feed(self, data: bytes) -> bytes:
        """What can be decoded with `data`; often b"" while a block is incomplete."""
        for stage in self._stages:
            data = stage.feed(data)
        return data

    def close(self) -> None:
        """The body is at its end. Raises DecodingError when more should have come; no body at all is whole."""
        for stage in self._stages:
            stage.close()


def decompress(data: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The whole body `data` without its content coding. Raises DecodingError."""
    decoder = Decoder(encoding, limit_bytes)
    decoded = decoder.feed(data)
    decoder.close()
    return decoded


def compress(data: bytes, encoding: str) -> bytes:
    """`data` in the content coding `encoding`. Raises DecodingError for one that we do not know."""
    for coding in _codings(encoding):
        data = zstd.compress(data) if coding == "zstd" else zlib.compress(data, wbits=31 if coding == "gzip" else 15)
    return data


@lru_cache(maxsize=256)
def accepted(header: str) -> str:
    """The Accept-Encoding to send upstream for a client's: its own, less the codings that we cannot decode.

    Items keep their order and weight. `*` would let the provider choose what we cannot read, so it is written out as
    the codings that the client did not name. Without the header RFC 9110 allows any coding, but such a client rarely
    decodes one, and an empty header welcomes none: both become `identity`, as does a header of which nothing is left.
    """
    items = [(_name(item), item.strip()) for item in header.split(",") if item.strip()]
    named = {name for name, _ in items}
    kept: list[str] = []
    for name, item in items:
        if name in DECODABLE or name == "identity":
            kept.append(item)
        elif name == "*":
            weight = item.partition(";")[1] + item.partition(";")[2]
            kept += [item] if _refused(weight) else [coding + weight for coding in DECODABLE if coding not in named]
    return ", ".join(kept) or "identity"


def _refused(weight: str) -> bool:
    """Whether `weight` is `;q=0` in any of its spellings."""
    name, _, value = weight.replace(" ", "").lower().partition("=")
    return name == ";q" and not value.strip("0.")


def _name(item: str) -> str:
    name = item.partition(";")[0].strip().lower()
    return _SAME_AS.get(name, name)


def _codings(encoding: str) -> list[str]:
    """The codings in the order in which they were applied."""
    codings = [name for item in encoding.split(",") if (name := _name(item)) not in ("", "identity")]
    unknown = next((name for name in codings if name not in DECODABLE), None)
    if unknown is not None or len(codings) > _MAX_STACKED:
        told = f"Content-Encoding {unknown or encoding!r} cannot be decoded here; send {', '.join(DECODABLE)} or none"
        raise DecodingError(told, status=415, code="unsupported_encoding")
    return codings


class _Decompressor(Protocol):
    """What zlib and zstd have in common. A call that gives fewer bytes than `max_length` has used all its input."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _zlib(wbits: int) -> _Decompressor:
    return zlib.decompressobj(wbits)


def _deflate(head: bytes) -> _Decompressor:
    """Deflate is zlib's format (RFC 1950), but many send it raw: only the former begins with a checked header."""
    wrapped = head[0] & 15 == 8 and int.from_bytes(head) % 31 == 0
    return _zlib(15 if wrapped else -15)


_BEGIN: dict[str, Callable[[bytes], _Decompressor]] = {
    "gzip": lambda head: _zlib(31),
    "deflate": _deflate,
    "zstd": lambda head: zstd.ZstdDecompressor(options=_ZSTD_OPTIONS),
}


class _Stage:
    """One coding of a body: members one after the other. The first two bytes of a member tell how to begin."""

    __slots__ = ("_coding", "_current", "_head", "_limit_bytes", "_members")

    def __init__(self, coding: str, limit_bytes: int) -> None:
        self._coding = coding
        self._limit_bytes = limit_bytes
        self._current: _Decompressor | None = None
        self._head = b""
        self._members = 0

    def feed(self, data: bytes) -> bytes:
        data, self._head = self._head + data, b""
        decoded: list[bytes] = []
        room = self._limit_bytes
        for start in range(0, len(data), _SLICE_BYTES):
            rest = self._head + data[start : start + _SLICE_BYTES]
            self._head = b""
            while rest:
                part, rest = self._step(rest, room + 1)
                decoded.append(part)
                room -= len(part)
                if room < 0:
                    told = f"The {self._coding} body decodes to more than {self._limit_bytes} bytes"
                    raise DecodingError(told, status=413, code="body_too_large")
        return decoded[0] if len(decoded) == 1 else b"".join(decoded)

    def close(self) -> None:
        if self._head or (self._current is not None and not self._current.eof):
            raise DecodingError(f"The {self._coding} body ends too early", code="invalid_encoding")

    def _step(self, data: bytes, max_length: int) -> tuple[bytes, bytes]:
        """Decode from `data` up to the end of a member; gives what came out and what follows."""
        current = self._current
        if current is None or current.eof:
            if current is not None:
                data = data.lstrip(b"\0")  # padding, as tape archives have it
            if len(data) < 2:
                self._head = data
                return b"", b""
            current = self._current = self._begin(data[:2])
        try:
            decoded = current.decompress(data, max_length)
        except (zlib.error, zstd.ZstdError) as error:
            raise DecodingError(f"The body is not {self._coding}: {error}", code="invalid_encoding") from error
        return decoded, current.unused_data if current.eof else b""

    def _begin(self, head: bytes) -> _Decompressor:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise DecodingError(f"The {self._coding} body has too many members", code="invalid_encoding")
        return _BEGIN[self._coding](head)
