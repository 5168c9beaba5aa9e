"""The store in a Redis: all replicas share it; the server's own memory and eviction policy bound it.

The facets are `redis_values.py`, `redis_sessions.py`, `redis_quotas.py` and `redis_breakers.py`; `redis_link.py` speaks
to the server. They need the client library, which checking a configuration does not import.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from llmproxy.settings import ExistingFile, Secret
from llmproxy.stores.base import Namespace, Store, StoreConfig
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.breakers import BreakerStore
from llmproxy.stores.quotas import QuotaStore
from llmproxy.stores.redis_url import RedisAddress, parse_redis_url
from llmproxy.stores.responses import ResponseStore
from llmproxy.stores.sessions import SessionStore

if TYPE_CHECKING:
    from llmproxy.stores.redis_link import RedisLink


class RedisStore(Store):
    """One Redis server, a cluster, or what sentinels name."""

    bounds_itself = True

    class Config(StoreConfig):
        """The keys of a Redis store."""

        url: str = Field(
            default="redis://127.0.0.1:6379/0",
            description="The Redis server: redis://user:password@host:6379/0, rediss:// for TLS, unix:///path, "
            "redis+cluster://host1,host2 or redis+sentinel://host1:26379,host2:26379/service/0.",
        )
        username: str | None = Field(default=None, description="Its user, where the URL does not say it.")
        password: Secret | None = Field(default=None, description="Its password, where the URL does not say it.")
        ca_file: ExistingFile | None = Field(
            default=None,
            description="A PEM file with the certificates that are trusted for TLS to it, besides the usual.",
        )
        namespace: Namespace = Field(
            default="llmproxy",
            description="What all keys in it begin with, so that several proxies can share one server or none.",
        )

        @field_validator("url")
        @classmethod
        def _is_redis(cls, value: str) -> str:
            parse_redis_url(value)
            return value

        @property
        def address(self) -> RedisAddress:
            """Return the server, user and password; those in the URL win."""
            parsed = parse_redis_url(self.url)
            password = parsed.password or (self.password.get_secret_value() if self.password else None)
            return dataclasses.replace(parsed, username=parsed.username or self.username, password=password)

    def __init__(self, config: StoreConfig) -> None:
        assert isinstance(config, self.Config)
        super().__init__(config)
        self._address = config.address
        self._ca_file = config.ca_file
        self._namespace = config.namespace
        self._open_link: RedisLink | None = None

    def __str__(self) -> str:
        return f"the Redis store {str(self._address)!r}"

    @property
    def _link(self) -> RedisLink:
        from llmproxy.stores.redis_link import RedisLink

        if self._open_link is None:
            self._open_link = RedisLink(self._address, self._ca_file)
        return self._open_link

    async def start(self) -> None:
        await self._link.start()

    async def close(self) -> None:
        await self._link.close()

    def blobs(self, max_bytes: int) -> BlobStore:
        from llmproxy.stores.redis_values import RedisBlobs

        return RedisBlobs(self._link, self._namespace, max_bytes)

    def sessions(self, max_sessions: int, ttl_s: float) -> SessionStore:
        from llmproxy.stores.redis_sessions import RedisSessions

        return RedisSessions(self._link, self._namespace, max_sessions, ttl_s)

    def responses(self, max_bytes: int) -> ResponseStore:
        from llmproxy.stores.redis_values import RedisResponses

        return RedisResponses(self._link, self._namespace, max_bytes)

    def breakers(self) -> BreakerStore:
        from llmproxy.stores.redis_breakers import RedisBreakers

        return RedisBreakers(self._link, self._namespace)

    def affinity(self, max_bytes: int) -> BlobStore:
        from llmproxy.stores.redis_values import RedisBlobs

        return RedisBlobs(self._link, self._namespace, max_bytes, "affinity")

    def quotas(self, max_counters: int) -> QuotaStore:
        from llmproxy.stores.redis_quotas import RedisQuotas

        return RedisQuotas(self._link, self._namespace)
