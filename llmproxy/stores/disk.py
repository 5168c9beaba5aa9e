"""The store in one SQLite file: it outlives the process, and the processes of one machine share it.

A kill loses at most what was not yet committed. The facets are `disk_values.py`, `disk_sessions.py`, `disk_quotas.py`
and `disk_breakers.py`, the tables `disk_tables.py`; `sqlite_file.py` has the file and its thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import Field, ValidationInfo, field_validator

from llmproxy.errors import ProxyError
from llmproxy.private_files import DIRECTORY_MODE
from llmproxy.stores.base import Namespace, Store, StoreConfig
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.breakers import BreakerStore
from llmproxy.stores.disk_breakers import DiskBreakers
from llmproxy.stores.disk_quotas import DiskQuotas
from llmproxy.stores.disk_sessions import DiskSessions
from llmproxy.stores.disk_tables import AFFINITY, open_file
from llmproxy.stores.disk_values import DiskBlobs, DiskResponses
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.quotas import QuotaStore
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import SessionStore
from llmproxy.stores.sqlite_connection import UnusableFile


class DiskStore(Store):
    """One SQLite file."""

    class Config(StoreConfig):
        """The keys of a disk store."""

        path: str | None = Field(
            default=None,
            min_length=1,
            description="The file of the disk store; by default one in the user's cache directory.",
        )

        namespace: Namespace | None = Field(
            default=None,
            description="Use a file of its own for this namespace: store-NAMESPACE.sqlite in place of store.sqlite.",
        )

        @field_validator("path")
        @classmethod
        def _beside_config(cls, value: str | None, info: ValidationInfo) -> str | None:
            if value is None:
                return None
            directory = info.context["directory"] if info.context else Path()
            return str(Path(directory, Path(value).expanduser()).absolute())

    def __init__(self, config: StoreConfig) -> None:
        assert isinstance(config, self.Config)
        super().__init__(config)
        default = user_cache_path("llmproxy", appauthor=False) / "store.sqlite"
        path = Path(config.path) if config.path else default
        self.path = path.with_name(f"{path.stem}-{config.namespace}{path.suffix}") if config.namespace else path
        self._is_default = config.path is None
        self._file = open_file(self.path)

    def __str__(self) -> str:
        return f"the disk store {str(self.path)!r}"

    async def start(self) -> None:
        """Open the file. Raises ProxyError when it can never be used; one that is full or locked may be used later."""
        try:
            if self._is_default:
                await asyncio.to_thread(_make_private, self.path.parent)
            await self._file.run(lambda connection: None)
        except UnusableFile as fault:
            remedy = "set `path` of the store to a file that can be written"
            raise ProxyError(f"{self}: cannot be used: {fault}; {remedy}", code="unusable_place") from fault
        except StoreFault:
            pass  # the guards of its facets log it, and try again

    async def close(self) -> None:
        await self._file.close()

    def blobs(self, max_bytes: int) -> BlobStore:
        return DiskBlobs(self._file, max_bytes)

    def sessions(self, max_sessions: int, ttl_s: float) -> SessionStore:
        return DiskSessions(self._file, max_sessions, ttl_s)

    def responses(self, max_bytes: int) -> ResponseStore:
        return DiskResponses(self._file, max_bytes)

    def breakers(self) -> BreakerStore:
        return DiskBreakers(self._file)

    def affinity(self, max_bytes: int) -> BlobStore:
        return DiskBlobs(self._file, max_bytes, table=AFFINITY)

    def quotas(self, max_counters: int) -> QuotaStore:
        return DiskQuotas(self._file, max_counters)


def _make_private(directory: Path) -> None:
    """Take the rights of others from our own directory; one that does not exist yet is made with the file."""
    with contextlib.suppress(OSError):
        directory.chmod(DIRECTORY_MODE)
