from __future__ import annotations

import pytest

from llmproxy.importers.litellm import import_litellm
from llmproxy.importers.litellm_settings import GENERAL, MODULE, ROUTER
from tests.importers.sources import imported, is_graded

SECTIONS = {"router_settings": ROUTER, "litellm_settings": MODULE, "general_settings": GENERAL}
CASES = [(section, key) for section, handlers in SECTIONS.items() for key in handlers]


@pytest.mark.parametrize("value", ["", "odd", "-1", "true", "[]", "{}", "[{a: 1}]", "{a: {b: 1}}"])
def test_any_value_has_a_grade_and_stops_nothing(value: str) -> None:
    for section, key in CASES:
        _, grades = imported(import_litellm, f"{section}: {{{key}: {value}}}\n")
        assert is_graded(f"{section}.{key}", grades)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("router_settings: {routing_strategy: least-busy}", "routing.strategy", "least_busy"),
        ("router_settings: {allowed_fails: 3}", "routing.breaker.failures", 4),
        ("router_settings: {cooldown_time: 5}", "routing.breaker.recovery", "5s"),
        ("router_settings: {redis_host: h, redis_port: 7}", "stores.shared.url", "redis://h:7/0"),
        ("router_settings: {redis_url: os.environ/REDIS}", "stores.shared.url", "${REDIS}"),
        ("litellm_settings: {drop_params: false}", "translation.strict", True),
        ("litellm_settings: {callbacks: [otel]}", "telemetry.otlp.traces", True),
        ("litellm_settings: {set_verbose: true}", "logging.level", "debug"),
        ("general_settings: {max_request_size_mb: 20}", "server.max_body_size", "20MB"),
        ("general_settings: {health_check_interval: 300}", "routing.health_check", "300s"),
    ],
)
def test_a_setting_becomes_ours(text: str, path: str, value: object) -> None:
    config, _ = imported(import_litellm, text)
    found: object = config
    for name in path.split("."):
        assert isinstance(found, dict)
        found = found[name]
    assert found == value


def test_a_master_key_in_plain_text_becomes_a_variable() -> None:
    config, grades = imported(import_litellm, "general_settings: {master_key: sk-1234}")
    assert config["auth"]["keys"] == [{"name": "master", "key": "${LITELLM_MASTER_KEY}"}]
    assert grades["general_settings.master_key"].grade == "by hand"


@pytest.mark.parametrize(
    ("params", "url", "password"),
    [
        ("{type: redis}", "redis://${REDIS_HOST:-127.0.0.1}:${REDIS_PORT:-6379}/0", "${REDIS_PASSWORD:-}"),
        (
            "{type: redis, password: os.environ/P}",
            "redis://${REDIS_HOST:-127.0.0.1}:${REDIS_PORT:-6379}/0",
            "${P}",
        ),
        ("{type: redis, host: h}", "redis://h:6379/0", None),
    ],
)
def test_a_cache_without_an_address_is_in_the_redis_of_the_variables(
    params: str, url: str, password: str | None
) -> None:
    config, grades = imported(import_litellm, f"litellm_settings: {{cache: true, cache_params: {params}}}")
    settings = config["middlewares"][0]["config"]
    assert (settings["url"], settings.get("password")) == (url, password)
    assert grades["litellm_settings.cache_params.type"].grade == ("exact" if "host" in params else "approximate")


def test_a_cache_elsewhere_is_kept_in_memory_by_hand() -> None:
    config, grades = imported(import_litellm, "litellm_settings: {cache: false, cache_params: {type: s3, ttl: 60}}")
    (entry,) = config["middlewares"]
    assert entry == {"type": "cache", "config": {"when": "always", "ttl": "60s"}, "enabled": False}
    assert grades["litellm_settings.cache_params.type"].grade == "by hand"
