"""The facet `ResponseStore`: what the Responses API stores, and reasoning that a dialect cannot carry."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from llmproxy.stores.blobs import BlobStore


class ResponseStore(BlobStore):
    """Values by key, apart from those of `BlobStore`, with what several writers of one value need."""

    @abstractmethod
    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the value of each key as `get` does, in one round trip where the store can."""

    @abstractmethod
    async def replace(self, key: str, before: bytes, value: bytes, ttl_s: float) -> bool:
        """Set `value` if the key still has the value `before`. Return whether it had."""
