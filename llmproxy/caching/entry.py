"""An answer as it is kept: its bytes, the little that must be known of them, and when each part came.

What is read back was written by us or is nobody's: a wrong checksum, an older version or anything else is no entry.
"""

from __future__ import annotations

import zlib

import msgspec

_MAGIC = b"lpc1"
_HEAD = len(_MAGIC) + 4


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """`body` is identity-coded; `stream` says whether it is server-sent events, and `counted` whether these tell the
    usage. `created_s` is the wall clock, `spent_s` how long the provider took. `paces` are milliseconds since the first
    part and size in bytes of each part."""

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


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(CacheEntry)


def pack(entry: CacheEntry) -> bytes:
    """The bytes to keep."""
    packed = _ENCODER.encode(entry)
    return b"%b%b%b" % (_MAGIC, zlib.crc32(packed).to_bytes(4, "big"), packed)


def unpack(raw: bytes) -> CacheEntry | None:
    """The entry that was kept; None for anything else."""
    if raw[: len(_MAGIC)] != _MAGIC:
        return None
    packed = memoryview(raw)[_HEAD:]
    if zlib.crc32(packed) != int.from_bytes(raw[len(_MAGIC) : _HEAD], "big"):
        return None
    try:
        return _DECODER.decode(packed)
    except msgspec.MsgspecError:
        return None
