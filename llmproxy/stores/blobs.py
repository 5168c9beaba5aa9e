"""The facet `BlobStore`: bytes by key, each for a limited time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import msgspec


class StoreSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept; None where counting would take too long. `bytes` are the store's own, overhead included."""

    entries: int | None
    bytes: int | None


class BlobStore(ABC):
    """Values by key, each for a limited time. Keys are printable ASCII without white space, at most 200 characters.

    What a store has no room for it may forget, the longest unused first. Every method raises StoreFault. `available`
    says that it answered last time.
    """

    available: bool = True

    async def start(self) -> None:  # noqa: B027  # not every store owns something
        """Called once, before anything is asked. A store that cannot be reached yet is no fault."""

    async def close(self) -> None:  # noqa: B027  # not every store owns something
        """Called once: finish what was begun, give back what is owned."""

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """What was set there last, None when it is gone or its time is over."""

    @abstractmethod
    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep `value` for `ttl_s` seconds, in place of what was there. A value larger than the store is forgotten."""

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """Forget it; whether it was there."""

    @abstractmethod
    async def clear(self, prefix: str = "") -> int:
        """Forget every key that begins with `prefix`; how many there were. Who writes meanwhile is not held up."""

    @abstractmethod
    async def size(self) -> StoreSize:
        """How much is kept."""
