"""The facet `BlobStore`: bytes by key, each for a limited time."""

from __future__ import annotations

from abc import abstractmethod

import msgspec

from llmproxy.stores.facet import Facet


class StoreSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept; None where counting would take too long. `bytes` includes the store's own overhead."""

    entries: int | None
    bytes: int | None


class BlobStore(Facet):
    """Values by key, each for a limited time. Keys are printable ASCII without white space, at most 200 characters.

    A store that has no room removes the longest unused values. Every method raises StoreFault.
    """

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """Return the value that was set last, None when it was removed or its time is over."""

    @abstractmethod
    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep `value` for `ttl_s` seconds, in place of what was there. A value larger than the bound is not kept."""

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """Remove the value. Return whether there was one."""

    @abstractmethod
    async def clear(self, prefix: str = "") -> int:
        """Remove every key that begins with `prefix`. Return how many there were. Writers do not have to wait."""

    @abstractmethod
    async def size(self) -> StoreSize:
        """Return how much is kept."""
