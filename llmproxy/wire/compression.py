"""Content codings: gzip, deflate and zstd, alone or stacked, with bounded output.

Decoding stops at a limit, so that a small body cannot fill the memory. This module knows the names of codings (RFC
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

    __slots__ = ("_stages",)

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        self._stages = [_Stage(coding, limit_bytes) for coding in reversed(_codings(encoding))]

    def feed(self, data: bytes) -> bytes:
        """Decode as much as possible with `data`; often b"" while a block is incomplete."""
        for stage in self._stages:
            data = stage.feed(data)
        return data

    def close(self) -> None:
        """End the body. Raise DecodingError when it is incomplete; an empty body is complete."""
        for stage in self._stages:
            stage.close()


def decompress(data: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Decode the whole body `data`. Raises DecodingError."""
    decoder = Decoder(encoding, limit_bytes)
    decoded = decoder.feed(data)
    decoder.close()
    return decoded


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
    """Tell whether `weight` is `;q=0` in any of its spellings."""
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
    """The interface of zlib and zstd. A call that returns fewer bytes than `max_length` has used all its input."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _zlib(wbits: int) -> _Decompressor:
    return zlib.decompressobj(wbits)


def _deflate(head: bytes) -> _Decompressor:
    """Begin deflate: zlib's format (RFC 1950), or raw, which many servers send and which has no valid header."""
    wrapped = head[0] & 15 == 8 and int.from_bytes(head) % 31 == 0
    return _zlib(15 if wrapped else -15)


_BEGIN: dict[str, Callable[[bytes], _Decompressor]] = {
    "gzip": lambda head: _zlib(31),
    "deflate": _deflate,
    "zstd": lambda head: zstd.ZstdDecompressor(options=_ZSTD_OPTIONS),
}


class _Stage:
    """One coding of a body: members one after the other. The first two bytes of a member select the decompressor."""

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
                    message = f"The {self._coding} body is larger than {self._limit_bytes} bytes when decoded"
                    raise DecodingError(message, status=413, code="body_too_large")
        return decoded[0] if len(decoded) == 1 else b"".join(decoded)

    def close(self) -> None:
        if self._head or (self._current is not None and not self._current.eof):
            raise DecodingError(f"The {self._coding} body ends too early", code="invalid_encoding")

    def _step(self, data: bytes, max_length: int) -> tuple[bytes, bytes]:
        """Decode `data` up to the end of a member. Return the decoded bytes and the rest of the input."""
        current = self._current
        if current is None or current.eof:
            if current is not None:
                data = data.lstrip(b"\0")  # padding, as in tape archives
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
