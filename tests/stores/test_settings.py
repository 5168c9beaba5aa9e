"""Which store the settings mean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmproxy.redaction.names import redact
from llmproxy.stores.guard import GuardedBlobs, GuardedSessions
from llmproxy.stores.memory import MemoryBlobs, MemorySessions
from llmproxy.stores.settings import StoreSettings, open_blobs, open_sessions
from tests.support.redis_server import RedisServer


def settings(**keys: object) -> StoreSettings:
    return StoreSettings.model_validate(keys, context={"directory": Path("/conf")})


def test_the_store_is_memory_unless_said_otherwise() -> None:
    assert isinstance(open_blobs(settings(), 1000), MemoryBlobs)
    assert isinstance(open_sessions(settings(), 10, 60.0), MemorySessions)


async def test_the_disk_store_is_the_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "down" / "cache.sqlite"
    blobs = open_blobs(settings(store="disk", path=str(file)), 1 << 20)
    state = open_sessions(settings(store="disk", path=str(file)), 10, 60.0)
    assert isinstance(blobs, GuardedBlobs)
    assert isinstance(state, GuardedSessions)
    for store in (blobs, state):
        await store.start()
        assert store.available
        await store.close()
    assert file.read_bytes().startswith(b"SQLite format 3")


def test_a_path_stands_beside_the_configuration_and_has_a_default() -> None:
    assert settings(store="disk", path="c.sqlite").file == Path("/conf/c.sqlite").absolute()
    assert settings(store="disk").file.parent.name == "llmproxy"


async def test_the_redis_store_is_the_server_that_is_named(redis_server: RedisServer, namespace: str) -> None:
    said = settings(store="redis", url=redis_server.url, namespace=namespace)
    blobs, state = open_blobs(said, 1 << 20), open_sessions(said, 10, 60.0)
    assert isinstance(blobs, GuardedBlobs)
    assert isinstance(state, GuardedSessions)
    for store in (blobs, state):
        await store.start()
        assert store.available
        await store.close()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"path": "x"}, "'path' belongs to `store: disk`, and this is `store: memory`"),
        ({"store": "disk", "namespace": "x"}, "'namespace' belongs to `store: redis`, and this is `store: disk`"),
        ({"store": "redis", "path": "x"}, "'path' belongs to `store: disk`, and this is `store: redis`"),
        ({"store": "redis", "url": "http://h"}, "write one such as redis://127.0.0.1:6379/0"),
        ({"store": "redis", "namespace": "a b"}, "pattern"),
        ({"store": "redis", "namespace": "a{b}"}, "pattern"),
        ({"store": "redis", "ca_file": "nowhere.pem"}, "file not found"),
        ({"store": "disc"}, "'memory', 'disk' or 'redis'"),
    ],
)
def test_a_mistake_is_told(keys: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        settings(**keys)
    assert told in str(raised.value)


def test_user_and_password_are_the_urls_or_the_settings_own() -> None:
    said = settings(store="redis", url="redis://h", username="u", password="p")
    assert (said.address.username, said.address.password) == ("u", "p")
    both = settings(store="redis", url="redis://a:b@h", username="u", password="p")
    assert (both.address.username, both.address.password) == ("a", "b")


def test_passwords_are_masked_wherever_settings_are_shown() -> None:
    said = settings(store="redis", url="redis+sentinel://u:secret@a:1,b:2/main/0", password="secret")
    assert "secret" not in str(redact(said.model_dump()))
    assert "a:1,b:2/main/0" in str(redact(said.model_dump()))


def test_a_store_that_nobody_configured_is_not_imported() -> None:
    program = """
import sys
from llmproxy.stores.settings import StoreSettings, open_blobs
open_blobs(StoreSettings(), 1000)
assert not {"redis", "sqlite3", "llmproxy.stores.disk", "llmproxy.stores.redis"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
