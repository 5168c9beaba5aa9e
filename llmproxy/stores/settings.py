"""Which store a middleware keeps things in, as its settings say it, and how to open that.

A new store is a file beside this one and a line in `_STORES`; only what is configured is imported. Begin reading at
`StoreSettings`, the base of the `Config` of every middleware that keeps something.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path
from pydantic import Field, ValidationInfo, field_validator, model_validator

from llmproxy.settings import ExistingFile, Secret, Strict
from llmproxy.stores.blobs import BlobStore
from llmproxy.stores.redis_url import Address, parse
from llmproxy.stores.sessions import SessionStore

# Each module has `open_blobs(settings, max_bytes)` and `open_sessions(settings, max_sessions, ttl_s)`.
_STORES = {
    "memory": "llmproxy.stores.memory",
    "disk": "llmproxy.stores.disk",
    "redis": "llmproxy.stores.redis",
}
# The keys that only one store understands.
_OWN_KEYS = {
    "path": "disk",
    "url": "redis",
    "username": "redis",
    "password": "redis",
    "ca_file": "redis",
    "namespace": "redis",
}


class StoreSettings(Strict):
    """Where it is kept."""

    store: Literal["memory", "disk", "redis"] = Field(
        default="memory",
        description="memory: in this process, gone with it. disk: a file, shared by the processes of one machine. "
        "redis: a Redis server, shared by all replicas.",
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        description="The file of the disk store; by default one in the user's cache directory.",
    )
    url: str = Field(
        default="redis://127.0.0.1:6379/0",
        description="The Redis server: redis://user:password@host:6379/0, rediss:// for TLS, unix:///path, "
        "redis+cluster://host1,host2 or redis+sentinel://host1:26379,host2:26379/service/0.",
    )
    username: str | None = Field(default=None, description="Its user, where the URL does not say it.")
    password: Secret | None = Field(default=None, description="Its password, where the URL does not say it.")
    ca_file: ExistingFile | None = Field(
        default=None, description="A PEM file with the certificates that are trusted for TLS to it, besides the usual."
    )
    namespace: str = Field(
        default="llmproxy",
        pattern=r"^[A-Za-z0-9_.-]{1,50}$",
        description="What all keys in it begin with, so that several proxies can share one server or none.",
    )

    @field_validator("path")
    @classmethod
    def _beside_config(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        directory = info.context["directory"] if info.context else Path()
        return str(Path(directory, Path(value).expanduser()).absolute())

    @field_validator("url")
    @classmethod
    def _is_redis(cls, value: str) -> str:
        parse(value)
        return value

    @model_validator(mode="after")
    def _understood(self) -> StoreSettings:
        for key, store in _OWN_KEYS.items():
            said = getattr(self, key) != type(self).model_fields[key].default
            if said and self.store != store:
                raise ValueError(f"{key!r} belongs to `store: {store}`, and this is `store: {self.store}`")
        return self

    @property
    def address(self) -> Address:
        """The Redis, and as whom to speak to it: what the URL says of that comes first."""
        said = parse(self.url)
        password = said.password or (self.password.get_secret_value() if self.password else None)
        return dataclasses.replace(said, username=said.username or self.username, password=password)

    @property
    def file(self) -> Path:
        """The file of the disk store."""
        return Path(self.path) if self.path else user_cache_path("llmproxy", appauthor=False) / "store.sqlite"


def open_blobs(settings: StoreSettings, max_bytes: int) -> BlobStore:
    """The store that `settings` name, for at most `max_bytes`; not started. Redis bounds itself."""
    blobs = importlib.import_module(_STORES[settings.store]).open_blobs(settings, max_bytes)
    assert isinstance(blobs, BlobStore)
    return blobs


def open_sessions(settings: StoreSettings, max_sessions: int, ttl_s: float) -> SessionStore:
    """The store that `settings` name, for at most `max_sessions` sessions; not started."""
    state = importlib.import_module(_STORES[settings.store]).open_sessions(settings, max_sessions, ttl_s)
    assert isinstance(state, SessionStore)
    return state
