"""What a store is: one connection to the place where data lives, and the facets that it offers over it.

A backend is one file with a subclass of `Store` and one line in `registry.py`. `open_stores.py` opens stores and puts a
guard before their facets. Begin reading at `Store`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from llmproxy.settings import Strict
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.breakers import BreakerStore
from llmproxy.stores.quotas import QuotaStore
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import SessionStore

DEFAULT_STORE = "default"
"""The name of the store that is used where the configuration names none."""


Namespace = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,50}$")]


class StoreConfig(Strict):
    """Base of the `Config` of every store: the keys of an entry of `stores:`."""

    type: str = Field(
        min_length=1,
        description="memory: in this process, gone with it. disk: a file, shared by the processes of one machine. "
        "redis: a Redis server, shared by all replicas.",
    )


class StoreReference(Strict):
    """Base of the `Config` of every middleware that keeps something in a store."""

    store: str = Field(
        default=DEFAULT_STORE,
        min_length=1,
        description="The name of an entry of `stores`; or in short memory, disk, or the URL of a Redis.",
    )


class Store(ABC):
    """One place where data lives, over one connection, which all facets share.

    The constructor has no side effects. `start` and `close` are awaited once each; the facets are started after the
    store and closed before it. The bounds belong to the user of a facet: everybody who asks for a facet sees the same
    data, and each write keeps the data within the bounds of its writer. `str(store)` is its name in log lines.
    """

    Config: ClassVar[type[StoreConfig]] = StoreConfig
    guarded: ClassVar[bool] = True
    """Whether it may be slow or fail, so that its facets need a guard (see `guard.py`)."""

    shared: ClassVar[bool] = True
    """Whether other processes see the same data."""

    bounds_itself: ClassVar[bool] = False
    """Whether it keeps values as it likes, whatever `max_bytes` its users ask for."""

    def __init__(self, config: StoreConfig) -> None:
        self.config = config

    def __str__(self) -> str:
        return f"the store of type {self.config.type!r}"

    async def start(self) -> None:  # noqa: B027  # not every store has something to prepare
        """Prepare the connection. A place that cannot be reached yet is no error."""

    async def close(self) -> None:  # noqa: B027  # not every store owns something
        """Close the connection."""

    @abstractmethod
    def blobs(self, max_bytes: int) -> BlobStore:
        """Return the values, for a user that wants at most `max_bytes` of them to be kept."""

    @abstractmethod
    def sessions(self, max_sessions: int, ttl_s: float) -> SessionStore:
        """Return the sessions, for a user that wants at most `max_sessions`, each until `ttl_s` seconds after its last
        use."""

    @abstractmethod
    def responses(self, max_bytes: int) -> ResponseStore:
        """Return the state of the Responses API, for a user that wants at most `max_bytes` of it to be kept."""

    @abstractmethod
    def breakers(self) -> BreakerStore:
        """Return the targets that are out."""

    @abstractmethod
    def affinity(self, max_bytes: int) -> BlobStore:
        """Return which target made what, for a user that wants at most `max_bytes` of it to be kept."""

    @abstractmethod
    def quotas(self, max_counters: int) -> QuotaStore:
        """Return the counters, for a user that wants at most `max_counters` of those that clients choose."""
