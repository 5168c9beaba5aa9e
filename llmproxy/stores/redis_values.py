"""Values in a Redis: the facets `BlobStore` and `ResponseStore`.

Values have a head: a byte that says how they are written, and a check sum; one that cannot be read back is gone.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Sequence

from llmproxy.stores.blobs import BlobStore, StoreSize
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.redis_link import LONGEST_S, RedisLink, Script, WrongType
from llmproxy.stores.responses import ResponseStore
from llmproxy.wire.compression import DecodingError, compress, decompress

_PLAIN = 1
_ZSTD = 2
_HEAD_BYTES = 5
_COMPRESSED_FROM = 1024
_THREAD_FROM = 64 << 10

_REPLACE = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
""")


class RedisBlobs(BlobStore):
    """Values below `namespace`; one larger than `max_bytes` is not kept, otherwise the server bounds them."""

    def __init__(self, link: RedisLink, namespace: str, max_bytes: int, kind: str = "blob") -> None:
        self._link = link
        self._base = f"{namespace}:{kind}:"
        self._max_bytes = max_bytes
        self._stored_bytes = max_bytes + _HEAD_BYTES  # the largest value as it is stored

    async def get(self, key: str) -> bytes | None:
        try:
            stored = await self._link.get(self._base + key, self._stored_bytes)
        except WrongType:
            return None
        return await self._read(stored)

    async def _read(self, stored: object) -> bytes | None:
        if stored is None:
            return None
        if not isinstance(stored, bytes):
            raise StoreFault("its answer to GET is not a value")
        if len(stored) > _THREAD_FROM:
            return await asyncio.to_thread(_unpack, stored, self._max_bytes)
        return _unpack(stored, self._max_bytes)

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        if len(key) + len(value) > self._max_bytes or ttl_s <= 0:
            await self.delete(key)
            return
        if await self._link.execute("SET", self._base + key, await _packed(value), "PX", _ttl_ms(ttl_s)) is not True:
            raise StoreFault("it does not confirm SET")

    async def delete(self, key: str) -> bool:
        return await self._link.unlink([(self._base + key).encode()]) > 0

    async def clear(self, prefix: str = "") -> int:
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self._base + prefix) + "*"
        count = 0
        async for keys in self._link.scan(pattern):
            count += await self._link.unlink(keys)
        return count

    async def size(self) -> StoreSize:
        """Return that it is unknown: the server counts the data of all its users, and counting ours takes too long."""
        return StoreSize(entries=None, bytes=None)


class RedisResponses(RedisBlobs, ResponseStore):
    """The same for what the Responses API stores."""

    def __init__(self, link: RedisLink, namespace: str, max_bytes: int) -> None:
        super().__init__(link, namespace, max_bytes, "response")

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        values = await self._link.get_many([self._base + key for key in keys], self._stored_bytes)
        return [await self._read(stored) for stored in values]

    async def replace(self, key: str, before: bytes, value: bytes, ttl_s: float) -> bool:
        """Compare here what the server has with `before`, then replace exactly that: packed forms may differ."""
        stored = await self._link.get(self._base + key, self._stored_bytes)
        if await self._read(stored) != before:
            return False
        assert isinstance(stored, bytes), "it was read"
        arguments = stored, await _packed(value), _ttl_ms(ttl_s)
        return bool(await self._link.run(_REPLACE, self._base + key, *arguments) == 1)


async def _packed(value: bytes) -> bytes:
    return await asyncio.to_thread(_pack, value) if len(value) > _THREAD_FROM else _pack(value)


def _ttl_ms(ttl_s: float) -> int:
    return max(1, int(min(ttl_s, LONGEST_S) * 1000))


def _pack(value: bytes) -> bytes:
    kind = _PLAIN
    if len(value) > _COMPRESSED_FROM:
        smaller = compress(value, "zstd")
        if len(smaller) < len(value):
            kind, value = _ZSTD, smaller
    return bytes((kind,)) + zlib.crc32(value).to_bytes(4) + value


def _unpack(stored: bytes, max_bytes: int) -> bytes | None:
    kind, value = stored[:1], stored[_HEAD_BYTES:]
    if zlib.crc32(value).to_bytes(4) != stored[1:_HEAD_BYTES]:
        return None
    if kind == bytes((_PLAIN,)):
        return value
    if kind != bytes((_ZSTD,)):
        return None
    try:
        return decompress(value, "zstd", max_bytes)
    except DecodingError:
        return None
