"""Encode an answer for a store: its bytes, a few facts about them, and the time of each part.

Only entries with the right version and checksum are read back; anything else counts as missing.
"""

from __future__ import annotations

import zlib

import msgspec

_MAGIC = b"lpc1"
_HEAD = len(_MAGIC) + 4


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A stored answer.

    `body` has no content coding. `stream` is true for a stream, and `counted` when the stream has usage. `created_s` is
    wall-clock time, `spent_s` the time that the provider took, `cost_usd` its price. `paces` has the milliseconds since
    the first part and the size in bytes of each part.
    """

    status: int
    headers: list[tuple[str, str]]
    stream: bool
    counted: bool
    created_s: float
    spent_s: float
    input_tokens: int | None
    output_tokens: int | None
    paces: list[tuple[int, int]]
    body: bytes
    cost_usd: float | None = None


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(CacheEntry)


def pack(entry: CacheEntry) -> bytes:
    """Encode an entry."""
    packed = _ENCODER.encode(entry)
    return b"%b%b%b" % (_MAGIC, zlib.crc32(packed).to_bytes(4, "big"), packed)


def largest_packed(body_bytes: int) -> int:
    """Return the size of the largest entry whose body has `body_bytes`: headers, and the times of its parts."""
    return body_bytes + body_bytes // 2 + (64 << 10)


def unpack(raw: bytes) -> CacheEntry | None:
    """Decode an entry. Return None for anything else."""
    if raw[: len(_MAGIC)] != _MAGIC:
        return None
    packed = memoryview(raw)[_HEAD:]
    if zlib.crc32(packed) != int.from_bytes(raw[len(_MAGIC) : _HEAD], "big"):
        return None
    try:
        return _DECODER.decode(packed)
    except msgspec.MsgspecError:
        return None
