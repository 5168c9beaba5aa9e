"""`session:`, `cache:` and the cache of `general_settings`: each as the entry of `middlewares` that it means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmproxy.config.load import load

STUB = "providers: [{name: stub, type: stub}]\n"


def entries(directory: Path, text: str) -> list[tuple[str, bool, dict[str, Any]]]:
    """Type, whether it is on, and the settings that are not the default, of every middleware in `text`."""
    (directory / "llmproxy.yaml").write_text(STUB + text)
    config = load(directory=directory, environ={"PASSWORD": "pass"}).checked()
    return [
        (entry.type, entry.enabled, entry.config.model_dump(mode="json", exclude_defaults=True))
        for entry in config.middlewares
    ]


def stores(directory: Path, text: str) -> dict[str, dict[str, Any]]:
    """Return the stores in `text`, without defaults."""
    (directory / "llmproxy.yaml").write_text(STUB + text)
    config = load(directory=directory, environ={"PASSWORD": "pass"}).checked()
    return {name: each.model_dump(mode="json", exclude_defaults=True) for name, each in config.stores.items()}


def problems(directory: Path, text: str) -> list[str]:
    (directory / "llmproxy.yaml").write_text(STUB + text)
    return [str(problem) for problem in load(directory=directory, environ={}).problems]


def test_a_section_is_a_middleware_behind_the_others(tmp_path: Path) -> None:
    text = """
cache: {ttl: 60, mode: read_only}
session: {enabled: true, max_sessions: 5, session_ttl_seconds: 7}
middlewares: [{type: printer}]
"""
    assert entries(tmp_path, text) == [
        ("printer", True, {}),
        ("sessions", True, {"max_sessions": 5, "session_ttl_seconds": "7s"}),
        ("cache", True, {"ttl": "60s", "mode": "read_only"}),
    ]


def test_a_section_may_be_switched_off_or_empty(tmp_path: Path) -> None:
    assert entries(tmp_path, "session: {enabled: false}\n") == [("sessions", False, {})]
    assert entries(tmp_path, "session: {}\ncache: {}\n") == [("sessions", True, {}), ("cache", True, {})]


@pytest.mark.parametrize(
    ("settings", "store", "message"),
    [
        ("{cache: true}", "memory", {}),
        ("{redis_host: cachehost}", "redis", {"url": "redis://cachehost:6379/0"}),
        ("{redis_host: h, redis_port: 6380}", "redis", {"url": "redis://h:6380/0"}),
        ("{redis_port: 6380}", "redis", {"url": "redis://127.0.0.1:6380/0"}),
        ("{redis_host: '::1'}", "redis", {"url": "redis://[::1]:6379/0"}),
        ("{cache: true, cache_params: {type: local, ttl: 5}}", "memory", {"ttl": "5s"}),
        (
            "{cache: true, cache_params: {type: redis, host: h, port: 7, namespace: n}}",
            "redis",
            {"url": "redis://h:7/0", "namespace": "n"},
        ),
        ("{cache: true, cache_params: {type: local, namespace: n}}", "memory", {"namespace": "n"}),
        ("{cache: true, cache_params: {namespace: n}}", "memory", {"namespace": "n"}),
        (
            "{cache: true, cache_params: {type: disk, path: /tmp/x.sqlite, namespace: n}}",
            "disk",
            {"path": "/tmp/x.sqlite", "namespace": "n"},
        ),
        ("{redis_host: h, cache_params: {type: disk, path: /tmp/x.sqlite}}", "disk", {"path": "/tmp/x.sqlite"}),
        ("{redis_host: h, cache_params: {url: 'redis://other/1'}}", "redis", {"url": "redis://other/1"}),
    ],
)
def test_general_settings_name_the_cache_and_its_redis(
    tmp_path: Path, settings: str, store: str, message: dict[str, Any]
) -> None:
    ttl = {"ttl": message["ttl"]} if "ttl" in message else {}
    text = f"general_settings: {settings}\n"
    [(_, _, config)] = entries(tmp_path, text)
    name = config.pop("store", "default")
    assert config == ttl
    keys = {key: value for key, value in message.items() if key != "ttl"}
    assert stores(tmp_path, text).get(name, {"type": "memory"}) == {"type": store, **keys}


@pytest.mark.parametrize("store", ["store: memory, ", "", "store: redis, ", "store: disk, "])
def test_every_store_of_the_section_cache_takes_a_namespace(tmp_path: Path, store: str) -> None:
    [config] = stores(tmp_path, f"cache: {{{store}namespace: n}}\n").values()
    assert config["namespace"] == "n"


def test_the_password_of_redis_stays_a_secret(tmp_path: Path) -> None:
    [config] = stores(tmp_path, "general_settings: {redis_host: h, redis_password: os.environ/PASSWORD}\n").values()
    assert config["password"] == "**********"


def test_a_cache_that_is_switched_off_stays_off(tmp_path: Path) -> None:
    assert [entry[:2] for entry in entries(tmp_path, "general_settings: {cache: false, redis_host: h}\n")] == [
        ("cache", False)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cache: {}\nmiddlewares: [{type: cache}]\n", "cache: is another spelling of the middleware 'cache'"),
        ("session: {}\nmiddlewares: [{type: sessions}]\n", "session: is another spelling of the middleware 'sessions'"),
        ("cache: {}\ngeneral_settings: {cache: true}\n", "general_settings.cache: is an older spelling"),
        ("session: [1]\n", "session: must be"),
        ("session: {max_session: 3}\n", "session.max_session: unknown key; did you mean 'max_sessions'?"),
        ("cache: {mode: sometimes}\n", "cache.mode: must be one of on, off, read_only, write_only"),
        ("cache: {url: 'redis://h'}\n", "cache.url: is a key of stores of type 'redis', and the type is missing here"),
        ("cache: {store: redis, url: 'http://h'}\n", "is not the URL of a Redis server"),
        (
            "general_settings: {cache_params: {hots: h}}\n",
            "general_settings.cache_params.hots: unknown key; did you mean",
        ),
        ("general_settings: {cache_params: 3}\n", "general_settings.cache_params: must be"),
        ("general_settings: {cache_params: {ttl: soon}}\n", "general_settings.cache_params.ttl: "),
    ],
)
def test_mistakes_are_reported_where_they_stand(tmp_path: Path, text: str, message: str) -> None:
    assert any(message in problem for problem in problems(tmp_path, text)), problems(tmp_path, text)


@pytest.mark.parametrize(
    ("word", "mode"), [("on", "on"), ("off", "off"), ("'off'", "off"), ("write_only", "write_only")]
)
def test_modes_may_be_written_as_yaml_likes(tmp_path: Path, word: str, mode: str) -> None:
    [(_, _, config)] = entries(tmp_path, f"cache: {{mode: {word}, routes: {{'gpt-*': {word}}}}}\n")
    assert config == {"routes": {"gpt-*": mode}} | ({} if mode == "on" else {"mode": mode})
