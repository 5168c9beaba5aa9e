"""Which Redis the keys of a store mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from llmproxy.redaction.names import redact
from llmproxy.stores.redis import RedisStore
from tests.support.redis_server import RedisServer


def settings(**keys: object) -> RedisStore.Config:
    return RedisStore.Config.model_validate({"type": "redis", **keys}, context={"directory": Path("/conf")})


async def test_all_facets_share_the_connection_to_the_server(redis_server: RedisServer, namespace: str) -> None:
    store = RedisStore(settings(url=redis_server.url, namespace=namespace))
    await store.start()
    blobs, responses = store.blobs(1000), store.responses(1000)
    await blobs.set("k", b"x", 60.0)
    await responses.set("k", b"y", 60.0)
    assert (await blobs.get("k"), await responses.get("k")) == (b"x", b"y")
    assert await store.sessions(10, 60.0).session("s") is None
    await store.close()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"url": "http://h"}, "write one such as redis://127.0.0.1:6379/0"),
        ({"namespace": "a b"}, "pattern"),
        ({"namespace": "a{b}"}, "pattern"),
        ({"ca_file": "nowhere.pem"}, "file not found"),
    ],
)
def test_a_mistake_is_refused(keys: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        settings(**keys)
    assert told in str(raised.value)


def test_user_and_password_are_those_of_the_url_or_of_their_own_keys() -> None:
    separate = settings(url="redis://h", username="u", password="p").address
    assert (separate.username, separate.password) == ("u", "p")
    both = settings(url="redis://a:b@h", username="u", password="p").address
    assert (both.username, both.password) == ("a", "b")


def test_passwords_are_masked_wherever_settings_are_shown() -> None:
    shown = settings(url="redis+sentinel://u:secret@a:1,b:2/main/0", password="secret")
    assert "secret" not in str(redact(shown.model_dump()))
    assert "a:1,b:2/main/0" in str(redact(shown.model_dump()))
    assert "secret" not in str(RedisStore(shown))
