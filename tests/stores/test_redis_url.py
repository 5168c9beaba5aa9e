"""What the URL of a Redis says."""

from __future__ import annotations

import pytest

from llmproxy.stores.redis_url import RedisAddress, parse_redis_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", RedisAddress(kind="single", hosts=(("localhost", 6379),))),
        ("redis://h:1/2", RedisAddress(kind="single", hosts=(("h", 1),), db=2)),
        ("redis://h?db=3", RedisAddress(kind="single", hosts=(("h", 6379),), db=3)),
        ("rediss://[::1]:7", RedisAddress(kind="single", tls=True, hosts=(("::1", 7),))),
        ("redis://:p%40%2F@h", RedisAddress(kind="single", hosts=(("h", 6379),), password="p@/")),
        ("redis://u:p@h", RedisAddress(kind="single", hosts=(("h", 6379),), username="u", password="p")),
        ("unix:///run/redis.sock?db=1", RedisAddress(kind="unix", path="/run/redis.sock", db=1)),
        ("unix://u:p@/run/r.sock", RedisAddress(kind="unix", path="/run/r.sock", username="u", password="p")),
        ("redis+cluster://a:1,b", RedisAddress(kind="cluster", hosts=(("a", 1), ("b", 6379)))),
        (
            "rediss+cluster://u:p@a",
            RedisAddress(kind="cluster", tls=True, hosts=(("a", 6379),), username="u", password="p"),
        ),
        (
            "redis+sentinel://a,b:2/main/4",
            RedisAddress(kind="sentinel", hosts=(("a", 26379), ("b", 2)), service="main", db=4),
        ),
        ("rediss+sentinel://a/main", RedisAddress(kind="sentinel", tls=True, hosts=(("a", 26379),), service="main")),
    ],
)
def test_a_url_says_where_and_how_and_as_whom(url: str, expected: RedisAddress) -> None:
    assert parse_redis_url(url) == expected


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "is not the URL of a Redis server; write one such as redis://127.0.0.1:6379/0"),
        ("localhost:6379", "is not the URL of a Redis server"),
        ("http://u:secret@h", "is not the URL of a Redis server"),
        ("redis+clutser://h", "is not the URL of a Redis server"),
        ("redis://", "names no server"),
        ("redis://h:port", "names a server that is not host:port"),
        ("redis://h:99999", "names a server that is not host:port"),
        ("redis://u:sec/ret@h", "in a password write %2F"),
        ("redis://u:1/sec@h", "in a password write %2F"),
        ("redis://u:1?sec@h", "in a password write %2F"),
        ("redis://u:sec#ret@h", "%23 for"),
        ("redis://[::1", "is not a URL"),
        ("redis://a,b", "names several servers; write redis+cluster://"),
        ("redis://h/zero", "has a database that is not a number"),
        ("redis://h?timeout=3", "has a parameter other than 'db'"),
        ("redis+cluster://h/1", "a cluster has only one"),
        ("redis+sentinel://h", "names no service"),
        ("unix://", "names no socket"),
    ],
)
def test_a_mistake_is_told_with_its_remedy_and_without_the_password(url: str, told: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_redis_url(url)
    assert told in str(raised.value)
    assert "sec" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:secret@h:1/2", "redis://h:1"),
        ("rediss+cluster://u:secret@a,[::1]:2", "rediss://a:6379,[::1]:2"),
        ("redis+sentinel://:secret@a/main/0", "redis://a:26379/main"),
        ("unix://:secret@/run/r.sock", "unix:///run/r.sock"),
    ],
)
def test_its_text_has_no_secret(url: str, shown: str) -> None:
    assert str(parse_redis_url(url)) == shown
    assert "secret" not in repr(parse_redis_url(url))
